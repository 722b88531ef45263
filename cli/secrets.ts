import { readFileSync } from 'node:fs'
import { KEY_BYTES } from '../lib/seal.js'
import type { Flags } from './arguments.js'
import type { Context } from './command.js'
import { CommandFault, misuse } from './fault.js'

/** Where keys are looked for unless told otherwise. */
const VARIABLE = 'FASTIFY_DYNAMODB_SESSION_KEYS'

export const KEY_FLAGS: Flags = {
  'keys-env': { type: 'string', value: 'name', help: 'Environment variable that holds the encryption keys.', otherwise: VARIABLE },
  'keys-file': { type: 'string', value: 'path', help: 'File that holds them, in place of the variable.' }
}

/**
 * Encryption keys from a file or the environment, never from arguments: those stand in the list of processes and in the history
 * of the shell. One key is 32 bytes as base64, base64url or hexadecimal digits; more are parted by blanks or commas.
 */
export function readKeys (context: Context): Uint8Array[] {
  const [place, text] = textOf(context)
  return text.split(/[\s,]+/).filter(part => part !== '').map((part, index) => keyFrom(part, place, index))
}

function textOf ({ given, io }: Context): readonly [place: string, text: string] {
  const path = given.text('keys-file')
  const named = given.text('keys-env')
  if (path !== undefined && named !== undefined) throw misuse('Options "--keys-env" and "--keys-file" are two ways to say the same: give one.')
  if (path !== undefined) return ['the file of --keys-file', contentOf(path)]
  const text = io.env[named ?? VARIABLE]
  if (named !== undefined && text === undefined) throw misuse('The environment variable of "--keys-env" is not set. Give its name, not the keys.')
  return ['the environment variable', text ?? '']
}

function contentOf (path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new CommandFault('FST_DYNAMODB_SESSION_NO_KEYS', 'The file of --keys-file cannot be read. Give the path of a file that holds the keys.', { cause })
  }
}

/** The text of a key that is none is not repeated: it may be most of one. */
function keyFrom (text: string, place: string, index: number): Uint8Array {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : fromBase64(text)
  if (bytes?.length === KEY_BYTES) return new Uint8Array(bytes)
  throw new CommandFault('FST_DYNAMODB_SESSION_NO_KEYS', `Key ${index + 1} in ${place} is not ${KEY_BYTES} bytes as base64 or hexadecimal digits.`)
}

function fromBase64 (text: string): Buffer | undefined {
  return /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined
}
