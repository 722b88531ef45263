import type { Tokens } from './token.js'

/** What the companions of a request say of its session. */
export interface Traces {
  /** The latest version that was written a moment ago, or 0 where only another session's was; undefined where nothing says so. */
  readonly version: number | undefined
  /** Epoch seconds of the last activity that a server of ours has signed; undefined where none has. */
  readonly activeAt: number | undefined
  /** Whether an old secret signed it, so that it is to be signed anew. */
  readonly isOutdated: boolean
}

/** Seconds in which an eventually consistent read may lag behind a write; a cache of another process lags by its own time more. */
export const COMPANION_LIFE = 10

/** How much of a loggable id names its session: enough that another session's companion is not taken for this one's. */
const NAMING_LENGTH = 8

/** The session, the version and, signed, the last activity in epoch seconds. */
const COMPANION = /^([A-Za-z0-9_-]{8})\.([1-9][0-9]{0,14})(?:\.([1-9][0-9]{0,11})\.([A-Za-z0-9+/]{43}))?$/

/** The longest value that such a companion has. */
export const LONGEST_COMPANION = NAMING_LENGTH + 15 + 12 + 43 + 3

/** `activeAt`: epoch seconds of the last activity, where the companion is to tell it. */
export function writeCompanion (tokens: Tokens, key: string, version: number, activeAt: number | undefined): string {
  const plain = `${key.slice(0, NAMING_LENGTH)}.${version}`
  return activeAt === undefined ? plain : `${plain}.${activeAt}.${tokens.signatureOf(signedText(key, version, activeAt))}`
}

/** What is said where there are no companions. */
export const NO_TRACES: Traces = { version: undefined, activeAt: undefined, isOutdated: false }

/**
 * What companions say. One of another session says only that something was written a moment ago: the answer to a save may come
 * after that of the log-in that replaced its session. What is not well signed tells no activity.
 */
export function readCompanions (tokens: Tokens, texts: readonly string[], key: string, now: number, life = COMPANION_LIFE): Traces {
  const companions = texts.map(parsed).filter(companion => companion !== undefined)
  if (companions.length === 0) return NO_TRACES
  const own = companions.filter(({ name }) => name === key.slice(0, NAMING_LENGTH))
  const isRecent = ({ activeAt }: Companion): boolean => activeAt === undefined || now - activeAt <= life
  const version = companions.some(isRecent) ? Math.max(0, ...own.filter(isRecent).map(({ version }) => version)) : undefined
  return { version, ...lastActivity(tokens, own, key) }
}

interface Companion {
  readonly name: string
  readonly version: number
  readonly activeAt: number | undefined
  readonly signature: string
}

function parsed (text: string): Companion | undefined {
  const [, name, version, activeAt, signature = ''] = COMPANION.exec(text) ?? []
  return name === undefined ? undefined : { name, version: Number(version), activeAt: activeAt === undefined ? undefined : Number(activeAt), signature }
}

/** Of several, the latest that is well signed. */
function lastActivity (tokens: Tokens, own: readonly Companion[], key: string): Pick<Traces, 'activeAt' | 'isOutdated'> {
  const signed = own.filter(({ activeAt }) => activeAt !== undefined).sort((a, b) => Number(b.activeAt) - Number(a.activeAt))
  for (const { version, activeAt, signature } of signed) {
    const { valid, renew } = tokens.checkSignature(signedText(key, version, Number(activeAt)), signature)
    if (valid) return { activeAt, isOutdated: renew }
  }
  return { activeAt: undefined, isOutdated: false }
}

/** With the whole key, so that it says nothing of another session. No token looks like it: ids have no dots. */
function signedText (key: string, version: number, activeAt: number): string {
  return `${key}.${version}.${activeAt}`
}
