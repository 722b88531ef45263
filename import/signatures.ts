import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** The parts of a signed text, which ids may have dots in themselves. */
function split (text: string): readonly [value: string, signature: string] {
  const dot = text.lastIndexOf('.')
  return dot === -1 ? ['', ''] : [text.slice(0, dot), text.slice(dot + 1)]
}

/** As texts, so that one signature has one text. */
function isSame (a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a), Buffer.from(b)]
  return first.length === second.length && timingSafeEqual(first, second)
}

/** The value of a text that cookie-signature, or @fastify/cookie, has signed with one of these secrets: HMAC-SHA-256, in base64. */
export function unsignCookie (text: string, secrets: readonly string[]): string | undefined {
  const [value, signature] = split(text)
  const isSigned = signature.length === 43 && secrets.some(secret => isSame(signature, createHmac('sha256', secret).update(value).digest('base64').replace(/=+$/, '')))
  return isSigned && value !== '' ? value : undefined
}

/**
 * Whether itsdangerous has signed a text with one of these keys, by its defaults: HMAC-SHA-1 under a key that is derived from
 * the salt and the key. SHA-1 is what stands in those tokens; as an HMAC it is not broken.
 */
export function isSignedByItsdangerous (text: string, keys: readonly string[]): boolean {
  const [value, signature] = split(text)
  return value !== '' && signature.length === 27 && keys.some(key => {
    const derived = createHash('sha1').update(`itsdangerous.Signersigner${key}`).digest()
    return isSame(signature, createHmac('sha1', derived).update(value).digest('base64url'))
  })
}

/** SHA-256 as bytes: the key under which Pyramid's records stand. */
export function digestOf (id: string): Uint8Array {
  return createHash('sha256').update(id).digest()
}
