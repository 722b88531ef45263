import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'

/** Bytes of an encryption key. */
export const KEY_BYTES = 32

const NONCE_BYTES = 12
const TAG_BYTES = 16
const NAME_BYTES = 4

/** Bytes that sealing adds. */
export const SEAL_BYTES = NAME_BYTES + NONCE_BYTES + TAG_BYTES

/** Where a value stands. It opens nowhere else. */
export interface Place {
  /** The key of the record, without its prefix. */
  readonly key: string
  /** The session key. */
  readonly name: string
  /** The format of its record, so that it is not read in another way. */
  readonly format?: string | undefined
}

interface Key { readonly name: Buffer, readonly bytes: Buffer }

/** Why sealed bytes do not open. */
export class SealError extends Error {}

/**
 * Seals values with AES-256-GCM (NIST SP 800-38D). Each record has a key of its own, derived from the encryption key and its
 * place (HMAC-SHA-256, as SP 800-108 in counter mode with one block), so that random nonces cannot run out: they may repeat
 * only after some four thousand million values of one session. The name of the key goes with the value; it says nothing of
 * the key itself.
 */
export class Sealer {
  readonly #keys: readonly [Key, ...Key[]]
  readonly #context: string

  /** `keys`: newest first. `context`: what tells this application's records from others in the same table. */
  constructor (keys: readonly [Uint8Array, ...Uint8Array[]], context: string) {
    const [newest, ...older] = keys
    this.#keys = [named(newest), ...older.map(named)]
    this.#context = context
  }

  /** `header` is not sealed, but cannot be changed. */
  seal (content: Buffer, header: Buffer, place: Place): Buffer {
    const [key] = this.#keys
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#derive(key, place), nonce)
    cipher.setAAD(this.#boundTo(header, place))
    return Buffer.concat([key.name, nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()])
  }

  open (sealed: Buffer, header: Buffer, place: Place): Buffer {
    if (sealed.length < SEAL_BYTES) throw new SealError('is too short to be sealed')
    const key = this.#keys.find(({ name }) => name.equals(sealed.subarray(0, NAME_BYTES)))
    if (key === undefined) throw new SealError('was sealed with a key that is not among the "encryptionKeys"')
    const nonce = sealed.subarray(NAME_BYTES, NAME_BYTES + NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', this.#derive(key, place), nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(this.#boundTo(header, place))
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    const content = decipher.update(sealed.subarray(NAME_BYTES + NONCE_BYTES, sealed.length - TAG_BYTES))
    try {
      return Buffer.concat([content, decipher.final()])
    } catch {
      throw new SealError('was changed, or moved from another place, after it was sealed')
    }
  }

  /** Names for a user, by each key: who has none of them cannot tell whose they are. */
  nameUser (userId: string): [string, ...string[]] {
    const [newest, ...older] = this.#keys
    const name = ({ bytes }: Key): string => mac(bytes, ['user', this.#context, userId]).toString('base64url')
    return [name(newest), ...older.map(name)]
  }

  #derive (key: Key, place: Place): Buffer {
    return mac(key.bytes, ['seal', this.#context, place.key])
  }

  #boundTo (header: Buffer, { key, name, format = 'json' }: Place): Buffer {
    return Buffer.concat([header, Buffer.from(JSON.stringify([this.#context, key, name, format]))])
  }
}

function named (bytes: Uint8Array): Key {
  // Not `Buffer.from`: its memory is shared with other buffers of the process, with which it might be sent away.
  const copy = Buffer.alloc(KEY_BYTES)
  copy.set(bytes)
  return { bytes: copy, name: mac(copy, ['name']).subarray(0, NAME_BYTES) }
}

/** One purpose, one key: what is derived for one thing is worth nothing for another. */
function mac (key: Buffer, purpose: readonly string[]): Buffer {
  return createHmac('sha256', key).update(JSON.stringify(['fastify-dynamodb-session', ...purpose])).digest()
}
