import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { AttributeValue } from '@aws-sdk/client-dynamodb'

/** Where processes leave their notes. */
export const FOLDER = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), '.tap', 'silence')

/** Something that was printed, and where. */
export interface Printed { readonly where: string, readonly text: string }

/** What one process, or many, have noted. */
export interface Notes { readonly secrets: ReadonlySet<string>, readonly printed: readonly Printed[] }

/** A secret in the ways in which a text may hold it: itself, in base64 with any neighbours, in hex. */
export function formsOf (secret: string): string[] {
  const contents = [Buffer.from(secret), Buffer.from(secret, 'base64url')]
  const encoded = contents.flatMap(bytes => {
    const hex = bytes.toString('hex')
    return [hex, hex.toUpperCase(), ...[0, 1, 2].map(offset => innerBase64(bytes, offset))]
  })
  return [...new Set([secret, ...encoded])]
}

/** What is the same in the base64 of every content that has these bytes so many bytes behind a multiple of three. */
function innerBase64 (bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString('base64url')
  const isWhole = (offset + bytes.length) % 3 === 0
  return text.slice(Math.ceil(offset * 4 / 3), isWhole ? undefined : -1)
}

/** Forms by their length. */
type Index = ReadonlyMap<number, ReadonlyMap<string, string>>

function indexOf (all: Iterable<string>): Index {
  const index = new Map<number, Map<string, string>>()
  for (const secret of all) {
    for (const form of formsOf(secret)) {
      const sameLength = index.get(form.length) ?? new Map<string, string>()
      index.set(form.length, sameLength.set(form, secret))
    }
  }
  return index
}

/** Every secret that a text holds, whatever stands around it. */
function secretsIn (text: string, index: Index): string[] {
  const found = new Set<string>()
  const plain = text.includes('%') ? `${text}\n${text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))}` : text
  // One alphabet for both kinds of base64.
  for (const [run] of plain.replaceAll('+', '-').replaceAll('/', '_').matchAll(/[A-Za-z0-9_-]{15,}/g)) {
    for (const [length, forms] of index) {
      for (let start = 0; start + length <= run.length; start++) {
        const secret = forms.get(run.slice(start, start + length))
        if (secret !== undefined) found.add(secret)
      }
    }
  }
  return [...found]
}

/** What is no secret of a test's, and is printed nowhere all the same. */
const NEVER: Readonly<Record<string, RegExp>> = {
  'an ARN': /arn:aws[\w-]*:[\w-]*:[\w-]*:\d/,
  'an account': /(?<![\w.:+-])\d{12}(?!\w|\.\d)/,
  'an attribute of DynamoDB': /[{,[]\s*\\*"?(S|N|B)\\*"?\s*:\s*(\\*"|'|Uint8Array)/,
  'a list or map of DynamoDB': /[{,[]\s*\\*"?(M|L|SS|NS|BS)\\*"?\s*:\s*[{[]/
}

/** What was printed and should not have been: a line for each finding, with what stands around it. */
export function search ({ secrets, printed }: Notes): string[] {
  const index = indexOf(secrets)
  return printed.flatMap(({ where, text }) => {
    const kinds = Object.entries(NEVER).map(([kind, pattern]) => [kind, text.search(pattern)] as const).filter(([, at]) => at !== -1)
    const found = secretsIn(text, index).map(secret => [`a secret (${secret})`, text.indexOf(secret)] as const)
    return [...found, ...kinds].map(([what, at]) => `${where}: ${what} in …${text.slice(Math.max(0, at - 200), Math.max(0, at) + 200)}…`)
  })
}

/** The ids and canaries in items of a table, as text or bytes of any kind. */
export function secretsInItems (items: ReadonlyArray<Record<string, AttributeValue>>, secrets: ReadonlySet<string>): string[] {
  return secretsIn(textOf(items).join('\n'), indexOf(secrets))
}

/** Every text and number under a value; bytes as the text that they are, and in hex. */
export function textOf (value: unknown): string[] {
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('latin1'), Buffer.from(value).toString('hex')]
  if (typeof value !== 'object' || value === null) return [String(value)]
  return Object.entries(value).flatMap(([name, member]) => [name, ...textOf(member)])
}

interface Written { readonly secrets: readonly string[], readonly printed: readonly Printed[] }

/** The notes of all processes that ended since the folder was made. */
export function readNotes (folder = FOLDER): Notes {
  const all = readdirSync(folder).map(file => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Written)
  return { secrets: new Set(all.flatMap(({ secrets }) => secrets)), printed: all.flatMap(({ printed }) => printed) }
}

export function writeNotes ({ secrets, printed }: Notes, folder = FOLDER): void {
  const origin = basename(process.argv[1] ?? '')
  const written: Written = { secrets: [...secrets], printed: printed.map(({ where, text }) => ({ where: `${origin}, ${where}`, text })) }
  writeFileSync(join(folder, `${process.pid}.json`), JSON.stringify(written))
}
