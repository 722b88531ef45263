/** Text that shrinks as that of shops does: words, numbers and names that repeat, from a small generator that is always the same. */
const WORDS = 'cotton linen shirt coat blue green large small with without pocket button zip summer winter sale new classic slim wide'.split(' ')

/** Data of so many bytes of JSON in so many keys, but for the names of the keys. */
export function shopData (bytes: number, keys: number): Record<`part${number}`, unknown> {
  const random = generator(42)
  const share = Math.floor(bytes / keys)
  return Object.fromEntries(Array.from({ length: keys }, (_, index) => [`part${index}`, productsOf(share, random)]))
}

function productsOf (bytes: number, random: () => number): unknown[] {
  const list: unknown[] = []
  let room = bytes - '[]'.length
  for (;;) {
    const next = product(random)
    const length = JSON.stringify(next).length + ','.length
    // The last one fills what is left.
    if (length > room - 20) return [...list, words(room, random).slice(0, room - '""'.length)]
    list.push(next)
    room -= length
  }
}

function words (bytes: number, random: () => number): string {
  let text = ''
  while (text.length < bytes) text += `${WORDS[Math.floor(random() * WORDS.length)]} `
  return text
}

function product (random: () => number): Record<string, unknown> {
  return { id: Math.floor(random() * 1e9).toString(36), name: words(20, random), price: Math.floor(random() * 20_000) / 100, amount: 1 + Math.floor(random() * 5) }
}

/** Numbers from 0 to 1 (mulberry32). */
function generator (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
