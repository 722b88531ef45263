/** A set that is made when something is put into it: most stay empty. */
export class LazySet<T> {
  #set: Set<T> | undefined

  get size (): number { return this.#set === undefined ? 0 : this.#set.size }
  has (value: T): boolean { return this.#set !== undefined && this.#set.has(value) }
  delete (value: T): boolean { return this.#set !== undefined && this.#set.delete(value) }
  values (): Iterable<T> { return this.#set ?? [] }

  add (value: T): void {
    this.#set ??= new Set()
    this.#set.add(value)
  }
}

/** The same for a map. */
export class LazyMap<K, V> {
  #map: Map<K, V> | undefined

  get size (): number { return this.#map === undefined ? 0 : this.#map.size }
  get (key: K): V | undefined { return this.#map === undefined ? undefined : this.#map.get(key) }
  has (key: K): boolean { return this.#map !== undefined && this.#map.has(key) }
  delete (key: K): boolean { return this.#map !== undefined && this.#map.delete(key) }
  keys (): Iterable<K> { return this.#map === undefined ? [] : this.#map.keys() }

  set (key: K, value: V): void {
    this.#map ??= new Map()
    this.#map.set(key, value)
  }
}
