import { hash as digest, randomBytes } from 'node:crypto'
import { Signer } from '@fastify/cookie'

/** A token that passed the gate: its id, and whether it was signed with a secret that is no longer the newest. */
export interface CheckedToken {
  readonly id: string
  readonly outdated: boolean
}

const ALPHABET = /^[A-Za-z0-9_-]+$/
/**
 * What base64url text may end in, by how many bytes are left of threes: all signs, those of two bits, and those of four. The bits
 * that are left over in the last sign are zero (RFC 4648, 3.5), or one id would have several texts.
 */
const LAST_SIGNS = ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 'AQgw', 'AEIMQUYcgkosw048']

/** A dot and an HMAC-SHA-256 in base64 without padding. */
const SIGNATURE_LENGTH = 44
const SIGNATURE = /^\.[A-Za-z0-9+/]{43}$/

/** Ids and tokens: makes, hashes, signs and checks them. Pure but for the randomness that is handed in. */
export class Tokens {
  readonly #idBytes: number
  readonly #idLength: number
  readonly #lastSigns: string
  readonly #signer: Signer | undefined
  readonly #random: (bytes: number) => Buffer

  constructor (idBytes: number, secrets: readonly string[] | undefined, random: (bytes: number) => Buffer = randomBytes) {
    this.#idBytes = idBytes
    this.#idLength = Math.ceil(idBytes * 4 / 3)
    this.#lastSigns = LAST_SIGNS[idBytes % 3] as string
    this.#signer = secrets === undefined ? undefined : new Signer([...secrets])
    this.#random = random
  }

  /** Length of every token, which decides whether a cookie can hold it. */
  get length (): number {
    return this.#idLength + (this.#signer === undefined ? 0 : SIGNATURE_LENGTH)
  }

  makeId (): string {
    return this.#random(this.#idBytes).toString('base64url')
  }

  sign (id: string): string {
    return this.#signer === undefined ? id : this.#signer.sign(id)
  }

  /**
   * The id of a token, or null. Length, alphabet and encoding come before any hashing: one text for each id, so that no
   * two tokens reach one record, and nothing an attacker sends costs more than a comparison.
   */
  check (token: string): CheckedToken | null {
    if (token.length !== this.length) return null
    const id = token.slice(0, this.#idLength)
    if (!this.#isId(id)) return null
    if (this.#signer === undefined) return { id, outdated: false }
    if (!SIGNATURE.test(token.slice(this.#idLength))) return null
    const verdict = this.#signer.unsign(token)
    return verdict.valid ? { id, outdated: verdict.renew } : null
  }

  /** The signature of a text that is no token. */
  signatureOf (text: string): string {
    return this.#signer === undefined ? '' : this.#signer.sign(text).slice(text.length + 1)
  }

  /** Without secrets, nothing is well signed. */
  checkSignature (text: string, signature: string): { readonly valid: boolean, readonly renew: boolean } {
    return this.#signer?.unsign(`${text}.${signature}`) ?? { valid: false, renew: false }
  }

  /** The key under which the record of an id is stored, or null for a text that is no id. */
  keyOf (id: string): string | null {
    return this.#isId(id) ? hash(id) : null
  }

  #isId (text: unknown): boolean {
    if (typeof text !== 'string' || text.length !== this.#idLength || !ALPHABET.test(text)) return false
    return this.#lastSigns.includes(text.slice(-1))
  }
}

/** SHA-256 in base64url: from it no id can be found, so the table and the logs may hold it. */
export function hash (id: string): string {
  return digest('sha256', id, 'base64url')
}

/** A name for one write, so that the write is recognised when its answer was lost. */
export function makeWriteToken (): string {
  return randomBytes(6).toString('base64url')
}

/** A key that no session has, for a read that only asks whether reading works. */
export function makeProbeKey (): string {
  return hash(randomBytes(32).toString('base64url'))
}
