import { CHECKS } from '../lib/checks.js'
import { resolveCookie } from '../lib/cookie.js'
import { errors } from '../lib/errors.js'
import { assertKnown } from '../lib/options.js'
import type { ReaderOptions, SessionReader } from '../types/import.js'

/** What all readers are made of, decided. */
type Common = Pick<SessionReader, 'table' | 'client' | 'cookieName' | 'cookiePath' | 'cookieDomain' | 'header' | 'keep'>

/** Each option with its test and what to say where the test fails. What concerns the cookie is checked as our own cookie is. */
const KNOWN = {
  table: CHECKS.table,
  client: CHECKS.client,
  cookieName: [isText, 'must be the name of a cookie'],
  cookiePath: [isText, 'must be a path'],
  cookieDomain: [isText, 'must be a host name'],
  header: CHECKS.header,
  keep: CHECKS.batchReads,
  secret: CHECKS.secrets,
  prefix: CHECKS.keyPrefix,
  hashKey: CHECKS.ttlAttribute,
  idBytes: CHECKS.idBytes
} as const

const COMMON = ['table', 'client', 'cookieName', 'cookiePath', 'cookieDomain', 'header', 'keep'] as const

/** Options of a reader, each checked: a copy without what is undefined. `own` are those that this reader has beside the common ones. */
export function checked<Options extends object> (reader: string, options: Options, own: ReadonlyArray<keyof typeof KNOWN>): Options {
  const names: readonly string[] = [...COMMON, ...own]
  const known: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options)) {
    assertKnown(name, names, `${reader}.`)
    if (value === undefined) continue
    const [accepts, remark] = KNOWN[name as keyof typeof KNOWN]
    if (!accepts(value)) throw new errors.BadOption(`${reader}.${name}`, remark)
    known[name] = value
  }
  return known as Options
}

export function commonOf (options: ReaderOptions, table: string, cookieName: string): Common {
  const { cookieName: name = cookieName, cookiePath: path = '/', cookieDomain: domain } = options
  resolveCookie({ name, path, domain, secure: true }, '', 0)
  return {
    table: options.table ?? table,
    client: options.client,
    cookieName: name,
    cookiePath: path,
    cookieDomain: domain,
    header: options.header?.toLowerCase(),
    keep: options.keep ?? false
  }
}

export function listOf (secret: string | readonly string[] | undefined): readonly string[] {
  return typeof secret === 'string' ? [secret] : [...secret ?? []]
}

function isText (value: unknown): boolean {
  return typeof value === 'string'
}
