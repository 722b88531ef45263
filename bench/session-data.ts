/** One value of a session: text where little room is left for it, else what shops keep. */
export type Part = string | { readonly name: string, readonly count: number, readonly items: ReadonlyArray<{ readonly id: number, readonly text: string }> }

declare module '../index.js' {
  interface SessionData { [key: `part${number}`]: Part }
}

/** The data of a session: so many keys, and so many bytes of JSON in all, or as few as the keys take. Each key holds its share. */
export function sessionData (bytes: number, keys: number): Record<`part${number}`, Part> {
  const names = Array.from({ length: keys }, (_, index) => `part${index}` as const)
  // The braces, and for each key its quotes, its colon and its comma.
  const room = bytes - 1 - names.join('').length - 4 * keys
  const share = Math.floor(room / keys)
  return Object.fromEntries(names.map((name, index) => [name, part(index === 0 ? room - share * (keys - 1) : share)]))
}

/** Bytes of text in an element of a list, and of an element with its comma. */
const TEXT = 40
const ELEMENT = JSON.stringify(element(0, TEXT)).length + 1

function element (index: number, length: number): { id: number, text: string } {
  return { id: 1000 + index % 9000, text: 'x'.repeat(length) }
}

function part (bytes: number): Part {
  const empty = { name: 'Ann', count: 0, items: [] }
  const room = bytes - JSON.stringify(empty).length + 1
  const count = Math.floor(room / ELEMENT)
  if (count < 1) return 'x'.repeat(Math.max(1, bytes - 2))
  // The first one takes what is left over.
  return { ...empty, items: Array.from({ length: count }, (_, index) => element(index, index === 0 ? TEXT + room - count * ELEMENT : TEXT)) }
}

/** What a route shows of a value. */
export function nameOf (part: Part | undefined): string | null {
  return part === undefined || typeof part === 'string' ? part ?? null : part.name
}

/** Another value of the same size. */
export function changed (part: Part | undefined): Part {
  if (part === undefined) return 'x'
  if (typeof part === 'string') return (part.startsWith('x') ? 'y' : 'x') + part.slice(1)
  return { ...part, count: (part.count + 1) % 10 }
}
