// The systems of docs/comparison.md, and what counts as evidence there.
import { testFile } from '../support/titles.js'

export interface System {
  readonly id: SystemId
  /** The heading of its column. */
  readonly head: string
  readonly name: string
  readonly version: string
  readonly kind: string
}

export type SystemId = 'ours' | 'pyr' | 'web' | 'flk' | 'pwr' | 'con' | 'fs' | 'fss' | 'es' | 'scs' | 'ts' | 'sp'

export const SYSTEMS: readonly System[] = [
  { id: 'ours', head: 'here', name: 'fastify-dynamodb-session', version: 'this version', kind: 'plugin for Fastify, DynamoDB' },
  { id: 'pyr', head: 'pyramid', name: 'pyramid-dynamodb-sessions', version: '0.1.3', kind: 'session factory for Pyramid (Python), DynamoDB' },
  { id: 'web', head: 'web', name: 'dynamodb-session-web', version: '0.2.9', kind: 'session manager without HTTP (Python), DynamoDB' },
  { id: 'flk', head: 'flask', name: 'dynamodb-session-flask', version: '1.1.3', kind: 'session interface for Flask (Python), on dynamodb-session-web' },
  { id: 'pwr', head: 'pwrdrvr', name: '@pwrdrvr/dynamodb-session-store', version: '1.1.0', kind: 'store for express-session, DynamoDB' },
  { id: 'con', head: 'connect', name: 'connect-dynamodb', version: '3.0.5', kind: 'store for express-session, DynamoDB' },
  { id: 'fs', head: 'session', name: '@fastify/session', version: '11.1.3', kind: 'plugin for Fastify, any store of express-session' },
  { id: 'fss', head: 'secure', name: '@fastify/secure-session', version: '8.4.0', kind: 'plugin for Fastify, the session is in the cookie' },
  { id: 'es', head: 'express', name: 'express-session', version: '1.19.0', kind: 'middleware for Express, many stores' },
  { id: 'scs', head: 'scs', name: 'alexedwards/scs', version: 'at the linked commits', kind: 'middleware for Go, many stores' },
  { id: 'ts', head: 'tower', name: 'tower-sessions', version: 'at the linked commits', kind: 'middleware for Tower and axum (Rust), many stores' },
  { id: 'sp', head: 'spring', name: 'spring-session', version: 'at the linked commits', kind: 'servlet filter for Spring (Java), here with Redis' }
]

/** Those that are installed here, with the version that was read and measured. */
export const INSTALLED = {
  pwr: '@pwrdrvr/dynamodb-session-store',
  con: 'connect-dynamodb',
  fs: '@fastify/session',
  fss: '@fastify/secure-session',
  es: 'express-session'
} as const

export type Evidence =
  /** A test of this repository. */
  | { readonly kind: 'test', readonly file: string, readonly title: string }
  /** Words in a file of an installed package. */
  | { readonly kind: 'quote', readonly name: string, readonly file: string, readonly words: string }
  /** Words that stand in no code of an installed package. */
  | { readonly kind: 'absent', readonly name: string, readonly words: readonly string[] }
  /** Words in a file of a repository, as it was read. */
  | { readonly kind: 'read', readonly repository: string, readonly commit: string, readonly file: string, readonly words: string }
  /** Words that were looked for in files of a repository, and are not there. */
  | { readonly kind: 'missing', readonly files: readonly ReadFile[], readonly words: readonly string[] }

export interface ReadFile { readonly repository: string, readonly commit: string, readonly file: string }

/** `option`: there, and off unless it is asked for. `host`: decided by what the store is plugged into. `?`: not found in what was read. */
export const MARKS = ['yes', 'option', 'partly', 'no', 'host', '—', '?'] as const
export type Mark = typeof MARKS[number]

export interface Cell { readonly mark: Mark, readonly note: string, readonly evidence: readonly Evidence[] }

export interface Row { readonly title: string, readonly cells: Readonly<Record<SystemId, Cell>> }

export interface Theme { readonly title: string, readonly rows: readonly Row[] }

/** A note, if there is one, and the evidence. */
type Part = string | Evidence

function maker (mark: Mark): (...parts: readonly Part[]) => Cell {
  return (...parts) => ({
    mark,
    note: parts.filter(part => typeof part === 'string').join('; '),
    evidence: parts.filter(part => typeof part !== 'string')
  })
}

export const yes = maker('yes')
export const option = maker('option')
export const partly = maker('partly')
export const no = maker('no')
export const host = maker('host')
export const none = maker('—')
export const unknown = maker('?')

export function row (title: string, cells: Row['cells']): Row {
  return { title, cells }
}

export function test (file: string, title: string): Evidence {
  return { kind: 'test', file: testFile(file), title }
}

/** A test of this comparison, which measures other libraries. */
export function measured (title: string): Evidence {
  return test('comparison', title)
}

/** What was measured beside @fastify/session. */
export function beside (title: string): Evidence {
  return test('differential', title)
}

type Quote = (words: string) => Evidence

function installed (name: string, file: string): Quote {
  return words => ({ kind: 'quote', name, file, words })
}

function lacking (name: string): (...words: string[]) => Evidence {
  return (...words) => ({ kind: 'absent', name, words })
}

export const fs = installed(INSTALLED.fs, 'index.js')
export const fsSession = installed(INSTALLED.fs, 'lib/session.js')
export const fsId = installed(INSTALLED.fs, 'lib/idGenerator.js')
export const fsTypes = installed(INSTALLED.fs, 'types/index.d.ts')
export const fsLacks = lacking(INSTALLED.fs)
export const fss = installed(INSTALLED.fss, 'index.js')
export const fssTypes = installed(INSTALLED.fss, 'types/index.d.ts')
export const fssLacks = lacking(INSTALLED.fss)
export const es = installed(INSTALLED.es, 'index.js')
export const esSession = installed(INSTALLED.es, 'session/session.js')
export const esStore = installed(INSTALLED.es, 'session/store.js')
export const esMemory = installed(INSTALLED.es, 'session/memory.js')
export const esCookie = installed(INSTALLED.es, 'session/cookie.js')
export const esReadme = installed(INSTALLED.es, 'README.md')
export const esLacks = lacking(INSTALLED.es)
export const con = installed(INSTALLED.con, 'lib/connect-dynamodb.js')
export const conLacks = lacking(INSTALLED.con)
export const pwr = installed(INSTALLED.pwr, 'dist/src/dynamodb-store.js')
export const pwrLacks = lacking(INSTALLED.pwr)

interface Remote { readonly file: ReadFile, readonly quote: Quote }

function remote (repository: string, commit: string, file: string): Remote {
  return { file: { repository, commit, file }, quote: words => ({ kind: 'read', repository, commit, file, words }) }
}

function lacks (...remotes: readonly Remote[]): (...words: string[]) => Evidence {
  return (...words) => ({ kind: 'missing', files: remotes.map(({ file }) => file), words })
}

const PYRAMID = remote('luhn/pyramid-dynamodb-sessions', '243cbc4', 'pyramid_dynamodb_sessions.py')
export const pyr = PYRAMID.quote
export const pyrLacks = lacks(PYRAMID)

const WEB = remote('JCapriotti/dynamodb-session-web', '11b047b5f41a25a1f14a6f425e8b6e131783a22d', 'dynamodb_session_web/_session.py')
export const web = WEB.quote
export const webLacks = lacks(WEB)

const FLASK = remote('JCapriotti/dynamodb-session-flask', '1ed02b9850f86249dc555e84266efd09027e5eee', 'dynamodb_session_flask/_session.py')
export const flk = FLASK.quote
export const flkLacks = lacks(FLASK, WEB)
export const flkTesting = remote('JCapriotti/dynamodb-session-flask', '10761724b6f7f7bc1e13eb1bcb458c1d01891854', 'dynamodb_session_flask/testing.py').quote

const SCS_SESSION = remote('alexedwards/scs', 'f76faa3082bf825485ae4a84df937070caa91f2e', 'session.go')
const SCS_DATA = remote('alexedwards/scs', '399ea3dd076c31be2b0364e689cc448e28973b4b', 'data.go')
const SCS_DYNAMODB = remote('alexedwards/scs', '1b492b5465e09ba847f408809786ad0677e42c7c', 'dynamodbstore/dynamodbstore.go')
export const scsSession = SCS_SESSION.quote
export const scsData = SCS_DATA.quote
export const scsDynamoDB = SCS_DYNAMODB.quote
export const scsLacks = lacks(SCS_SESSION, SCS_DATA)
export const scsStoreLacks = lacks(SCS_DYNAMODB)

const TOWER_SESSION = remote('maxcountryman/tower-sessions', '0bbe8301855bb3ed1e03378423c2504242ac5c6c', 'tower-sessions-core/src/session.rs')
const TOWER_SERVICE = remote('maxcountryman/tower-sessions', '444ab1fcf3cade83fc029fb14569f832de0f4b0e', 'src/service.rs')
const TOWER_STORE = remote('maxcountryman/tower-sessions', '0886b05db6f461966e14832d716b46d958b5aee5', 'tower-sessions-core/src/session_store.rs')
const TOWER_DYNAMODB = remote('maxcountryman/tower-sessions', '2d5016db202a3f1210f2576a31753f5f297218a7', 'dynamodb-store/src/lib.rs')
export const tsSession = TOWER_SESSION.quote
export const tsService = TOWER_SERVICE.quote
export const tsStore = TOWER_STORE.quote
export const tsDynamoDB = TOWER_DYNAMODB.quote
export const tsLacks = lacks(TOWER_SESSION, TOWER_SERVICE, TOWER_STORE)
export const tsStoreLacks = lacks(TOWER_DYNAMODB)

const SPRING = 'spring-projects/spring-session'
const CORE = 'spring-session-core/src/main/java/org/springframework/session'
const SPRING_REDIS = remote(SPRING, '009cb5b5926f2838dcb3d43a28f3eaab2412af8d',
  'spring-session-data-redis/src/main/java/org/springframework/session/data/redis/RedisIndexedSessionRepository.java')
const SPRING_FILTER = remote(SPRING, 'c8f78e510e7587e94769b360de5a361a7457b236', `${CORE}/web/http/SessionRepositoryFilter.java`)
const SPRING_COOKIE = remote(SPRING, '04ec868ffc156c5e9bceabf228f5bf0b98a8bd64', `${CORE}/web/http/DefaultCookieSerializer.java`)
const SPRING_RESOLVER = remote(SPRING, '6f05c84aa7c1f7c4efcf2c0d3c20709a79b0785f', `${CORE}/web/http/CookieHttpSessionIdResolver.java`)
export const spRedis = SPRING_REDIS.quote
export const spFilter = SPRING_FILTER.quote
export const spCookie = SPRING_COOKIE.quote
export const spResolver = SPRING_RESOLVER.quote
export const spMap = remote(SPRING, '04b4fe3e3bf88e542288e2363a7f961918be431f', `${CORE}/MapSession.java`).quote
export const spRegistry = remote(SPRING, '3140bd06b2d6cc5adec8b0253b0b35dffd79ae0e', `${CORE}/security/SpringSessionBackedSessionRegistry.java`).quote
export const spHeader = remote(SPRING, '1181e52bb0443c7ded68134ecc4e72c6ed39892a', `${CORE}/web/http/HeaderHttpSessionIdResolver.java`).quote
export const spLacks = lacks(SPRING_REDIS, SPRING_FILTER, SPRING_COOKIE)

export const spSocket = remote(SPRING, 'c8f78e510e7587e94769b360de5a361a7457b236', `${CORE}/web/socket/handler/WebSocketRegistryListener.java`).quote
export const spJdbc = remote(SPRING, '47a4873199d9f305a2410bfa80249b76303fb13e',
  'spring-session-jdbc/src/main/java/org/springframework/session/jdbc/JdbcIndexedSessionRepository.java').quote

/** A store does what it is told to; the library that it is plugged into decides. */
export const byHost = {
  pwr: host('a store for express-session', pwr('class DynamoDBStore extends express_session_1.Store')),
  con: host('a store for express-session', con('Inherit from `Store`'))
}

/** A manager of sessions that knows nothing of HTTP. */
export const byApplication = none('no HTTP in it, the application does that', webLacks('cookie', 'response'))

/** What is in the cookie is not in a store. */
export const inCookie = none('the session is in the cookie', fss('fastify.encodeSecureSession(session, sessionName)'))
