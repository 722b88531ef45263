import { writeCompanion } from '../lib/companion.js'
import { COMPANION_SUFFIX, writeCookieHeader } from '../lib/cookie.js'
import { errors } from '../lib/errors.js'
import type { Settings } from '../lib/options.js'
import { registrationsOn, type Registration } from '../lib/registrations.js'
import type { Session, SessionValues } from '../types/session.js'

/** As whom a visitor is signed in, and how. */
export interface SignInOptions {
  /** Which registration of the plugin, as its option `sessionName` says. Default `'session'`. */
  sessionName?: string | undefined
  /** How the visitor sends the token, where the registration takes it both ways. Default `'cookie'` there, else the one way there is. */
  way?: 'cookie' | 'header' | undefined
  /** Puts the session on the list of this user, as `session.bind(userId, { label })` does. Needs the option `userIndex`. */
  userId?: string | undefined
  /** What the list is to call it: a text of at most 128 bytes. Needs `userId`. */
  label?: string | undefined
}

/** A Fastify application, of whatever server, logger and type provider. */
export interface Application {
  /** The HTTP server, which all contexts of an application share. */
  readonly server: object
  /** Resolves when all plugins are loaded. */
  ready (): PromiseLike<unknown>
}

/**
 * Makes a session with this data and resolves to the request headers of the visitor who has it, as a browser that was just
 * signed in sends them: for `app.inject({ headers })`, and for `fetch` where the application listens. With whatever the
 * registration says: cookie or header, names, `secrets`, companion. No route of the application runs, so nothing that its
 * log-in does beside the session is done. Each call is another visitor.
 *
 * Awaits `app.ready()`, so add plugins and routes before. `app` is the application, or the context in which the plugin was
 * registered. One PutItem; with `userId` one UpdateItem of the list before, and for the first session of a user one PutItem for it. No
 * call in memory.
 *
 * ```ts
 * const headers = await signIn(app, { userId: 'u-42' })
 * const response = await app.inject({ url: '/me', headers })
 * ```
 *
 * @throws `FST_DYNAMODB_SESSION_BAD_OPTION` where the plugin is not registered there under that name, or in several contexts
 * of which `app` is none, for a `way` that the registration does not take, and for a `userId` where `userIndex` is not set. Whatever `create()` of the manager throws.
 */
export async function signIn (app: Application, data: Partial<SessionValues> = {}, options: SignInOptions = {}): Promise<Record<string, string>> {
  const { sessionName = 'session', way, userId, label, ...others } = options
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new errors.UnknownOption(`signIn.${unknown}`, ' Known are sessionName, way, userId, label.')
  if (label !== undefined && userId === undefined) throw new errors.BadOption('signIn.label', 'is for the list of a user: give the "userId" too')
  if (typeof app?.ready !== 'function') throw new errors.BadOption('signIn(app)', 'must be a Fastify application')
  await rootOf(app).ready()
  const { manager, settings } = registrationOf(app, sessionName)
  const { header, name } = transportOf(settings, way)
  const session = await manager.create(data, session => { if (userId !== undefined) session.bind(userId, { label }) })
  const pairs = [[name, String(session.token)], ...companionOf(session, name, settings)] as const
  return header ? Object.fromEntries(pairs) : { cookie: writeCookieHeader(Object.fromEntries(pairs)) }
}

/** A context inherits from the application, save `ready()`: its own runs no onReady hooks, and fails once the application is ready. */
function rootOf (app: Application): Application {
  const above: unknown = Object.getPrototypeOf(app)
  return above !== null && typeof above === 'object' && 'ready' in above ? rootOf(above as Application) : app
}

/** That of the context that was given, or of one above it; else the only one, in whichever context. */
function registrationOf (app: Application, sessionName: string): Registration {
  const present = registrationsOn(app.server)
  const named = present.filter(({ settings }) => settings.sessionName === sessionName)
  const manager: unknown = Reflect.get(app, `${sessionName}s`)
  const found = named.find(registration => registration.manager === manager) ?? named[0]
  if (found === undefined) throw new errors.BadOption('signIn(app)', absence(sessionName, present, manager))
  if (named.length > 1 && found.manager !== manager) {
    throw new errors.BadOption('signIn(app)', `has several contexts with a "${sessionName}": give the one that is meant, on which the plugin was registered`)
  }
  return found
}

/** A manager that nothing here has noted is one of another copy: that of another version, or of a loader that compiles what is required. */
function absence (sessionName: string, present: readonly Registration[], manager: unknown): string {
  if (present.length === 0 && manager !== undefined) {
    return 'has the sessions of another copy of fastify-dynamodb-session: install one, and import or require the plugin and signIn alike'
  }
  if (present.length === 0) return 'has no sessions: register fastify-dynamodb-session on it first'
  const names = present.map(({ settings }) => `"${settings.sessionName}"`).join(', ')
  return `has no registration with the sessionName "${sessionName}": give one of ${names}`
}

/** Whether the token goes by header, and the name of that or of the cookie. */
function transportOf ({ usesCookie, header, cookie }: Settings, way: SignInOptions['way']): { readonly header: boolean, readonly name: string } {
  const chosen = way ?? (usesCookie ? 'cookie' : 'header')
  if (chosen === 'cookie' && usesCookie) return { header: false, name: cookie.name }
  if (chosen === 'header' && header !== undefined) return { header: true, name: header }
  throw new errors.BadOption('signIn.way', `cannot be "${chosen}", by which the registration takes no token`)
}

/** What tells of the write, and of the last activity: a visitor who was just signed in has it. */
function companionOf ({ loggableId, version, lastSeenAt }: Session, name: string, settings: Settings): Array<readonly [string, string]> {
  const isTracking = settings.idleTracking === 'cookie'
  if (settings.consistentRead && !isTracking) return []
  const value = writeCompanion(settings.tokens, String(loggableId), Number(version), isTracking ? lastSeenAt : undefined)
  return [[name + COMPANION_SUFFIX, value]]
}
