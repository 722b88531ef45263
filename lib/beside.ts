/** Gives back what it is given, so that a class which extends it puts its private fields there. */
class Given {
  constructor (given: object) { return given }
}

/** What is known about objects of others. */
export interface Beside<T> {
  get (owner: object): T | undefined
  set (owner: object, value: T): void
}

/**
 * Keeps something beside objects of others: whatever prints, copies or serialises them finds nothing. As a WeakMap does, but in
 * a private field of theirs, because each entry of a WeakMap makes the collections of garbage longer.
 */
export function createBeside<T> (): Beside<T> {
  class Note extends Given {
    #value: T

    constructor (owner: object, value: T) {
      super(owner)
      this.#value = value
    }

    static get (owner: object): T | undefined {
      return #value in owner ? owner.#value : undefined
    }

    static set (owner: object, value: T): void {
      if (#value in owner) owner.#value = value
      else Note.#add(owner, value)
    }

    static #add (owner: object, value: T): Note {
      return new Note(owner, value)
    }
  }
  return Note
}
