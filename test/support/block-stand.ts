// What a block of a document stands on while it runs: its environment, ports of the system's choice, and somebody who visits the
// applications that it makes.
import { channel } from 'node:diagnostics_channel'
import type { EventEmitter } from 'node:events'
import { Server } from 'node:net'
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { Test } from 'tap'
import type { Session, SessionKey, SessionValues } from '../../index.js'
import { registrationsOn } from '../../lib/registrations.js'
import { signIn } from '../../testing/index.js'

/** Where a block that is a test finds what runs it: the two test runners, by their names. */
export const RUNNERS = Symbol.for('test runners of the block')

/** What a visitor sends to a route, of which each takes what it needs. */
const BODY = {
  ...Object.fromEntries(['name', 'user', 'username', 'item', 'key', 'value', 'theme', 'message', 'text'].map(name => [name, name])),
  userId: 'u-42',
  email: 'ann@example.com',
  password: 'open',
  code: '123456',
  remember: true,
  quantity: 1,
  loggableId: 'A'.repeat(43)
}

/** What the visitor's session holds. */
const DATA = { userId: 'u-42', cart: ['apple'] } as Partial<SessionValues>

/** A route that each application gets, so that what it hooks into its requests runs where it has no route of its own. */
const LOOK = '/look-at-the-sessions'

/** What the plugin says where changes are lost. */
const LOSS = /^(Changes|A session was (changed|created))\b/

/** Milliseconds after which a web socket is taken to have nothing to say. */
const SILENCE = 300

/** Most milliseconds that a block, or an answer, may take. */
const PATIENCE = 10_000

/** What programs keep for a whole process, of which each block is one. */
const GLOBALS: Readonly<Record<string, (module: any) => void>> = {
  'prom-client': ({ register }) => { register.clear() },
  '@opentelemetry/api': ({ trace, context }) => {
    trace.disable()
    context.disable()
  }
}

interface Visited { readonly app: FastifyInstance, readonly routes: RouteOptions[] }

export class Stand {
  readonly #t: Test
  /** What went wrong. */
  readonly complaints: string[] = []
  readonly #apps: Visited[] = []
  readonly #servers = new Set<Server>()
  readonly #log: string[] = []
  readonly #undo: Array<() => void> = []

  constructor (t: Test) {
    this.#t = t
  }

  /** Lets something run on this stand, and nothing else beside it until it is closed. */
  async carry (environment: Readonly<Record<string, string>>, run: () => Promise<void>): Promise<void> {
    this.#undo.push(setEnvironment(environment), this.#listenAnywhere(), this.#catchOutput(), this.#noteApplications(), this.#lendTest(), stopClocks())
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => { reject(new Error(`It did not end in ${PATIENCE / 1000} s.`)) }, PATIENCE)
    })
    await Promise.race([run(), tooLong]).catch((error: Error) => { this.complaints.push(error.message) })
    clearTimeout(timer)
    this.complaints.push(...this.#log.filter(line => /^\{"level":[56]0/.test(line)))
  }

  /** Asks for every route of every application that was made: each time as a visitor who has just signed in. */
  async visit (failures: readonly string[]): Promise<void> {
    const failed: string[] = []
    for (const { app, routes } of this.#apps) {
      await app.ready()
      await this.#look(app)
      const statuses: number[] = []
      for (const { method, route } of routes.flatMap(route => [route.method].flat().map(method => ({ method, route })))) {
        if (method === 'HEAD') continue
        if (Reflect.get(route, 'websocket') === true) await this.#talk(app, route.url)
        else {
          const { statusCode, body } = await this.#ask(app, method, route.url)
          // A folder of files may be empty here.
          if (!route.url.includes('*')) statuses.push(statusCode)
          // What is refused has not been run, so it must say why.
          if (statusCode >= (route.url.includes('*') ? 500 : 400)) failed.push(`${method} ${route.url} answers ${statusCode} ${body}`)
        }
      }
      if (statuses.length > 0 && !statuses.some(status => status < 400)) failed.push(`No route answers well: ${statuses.join(', ')}`)
    }
    this.complaints.push(...failed.filter(text => !failures.some(known => text.startsWith(`${known} `))))
    this.complaints.push(...failures.filter(known => !failed.some(text => text.startsWith(`${known} `))).map(known => `It is not so that ${known}`))
  }

  async #ask (app: FastifyInstance, method: string, url: string): Promise<{ statusCode: number, body: string }> {
    return await app.inject({
      method: method as 'GET',
      url: pathOf(url),
      headers: await this.#visitorOf(app),
      signal: AbortSignal.timeout(PATIENCE),
      ...method !== 'GET' && method !== 'DELETE' && { payload: BODY }
    })
  }

  /** Opens a web socket and says something. An answer is not owed, but that it is no failure. */
  async #talk (app: FastifyInstance, url: string): Promise<void> {
    const open = Reflect.get(app, 'injectWS') as (url: string, context: object) => Promise<EventEmitter & { send (text: string): void, terminate (): void }>
    const socket = await open(pathOf(url), { headers: await this.#visitorOf(app) })
    const said = new Promise<unknown>(resolve => {
      socket.once('message', resolve)
      socket.once('close', resolve)
      setTimeout(resolve, SILENCE)
    })
    socket.send('apple')
    if ([1006, 1011].includes(await said as number)) this.complaints.push(`The web socket ${url} fails`)
    socket.terminate()
    // The other end would wait for half a minute for it to close in form.
    for (const other of (Reflect.get(app, 'websocketServer') as { clients: Set<{ terminate (): void }> }).clients) other.terminate()
  }

  async #look (app: FastifyInstance): Promise<void> {
    const { statusCode, body } = await app.inject({ url: LOOK, headers: await this.#visitorOf(app), signal: AbortSignal.timeout(PATIENCE) })
    if (statusCode >= 500) this.complaints.push(`A request answers ${body}`)
    if (statusCode === 200 && body.includes('false')) this.complaints.push('Who is signed in is not known.')
    const lost = await app.inject({ url: '/nothing-is-there', headers: await this.#visitorOf(app), signal: AbortSignal.timeout(PATIENCE) })
    if (lost.statusCode >= 500) this.complaints.push(`A request for what is not there answers ${lost.body}`)
  }

  async close (): Promise<void> {
    for (const { app } of this.#apps) await app.close()
    for (const server of this.#servers) {
      if (server.listening) server.close()
      if ('closeAllConnections' in server) (server.closeAllConnections as () => void)()
    }
    this.#servers.clear()
    for (const back of this.#undo.splice(0)) back()
  }

  /** The headers of a visitor who has a session with each registration of the plugin. */
  async #visitorOf (app: FastifyInstance): Promise<Record<string, string>> {
    const headers: Record<string, string> = {}
    for (const { settings: { sessionName, userIndex } } of registrationsOn(app.server)) {
      const more = await signIn(app, DATA, { sessionName, ...userIndex !== undefined && userIndex !== false && { userId: 'u-42' } })
      for (const [name, value] of Object.entries(more)) headers[name] = name === 'cookie' && name in headers ? `${headers[name]}; ${value}` : value
    }
    return headers
  }

  /** On this machine only, and on a free port: what stands there may be taken. */
  #listenAnywhere (): () => void {
    const { listen } = Server.prototype
    const servers = this.#servers
    Server.prototype.listen = function (this: Server, ...args: unknown[]) {
      servers.add(this)
      const done = args.find(argument => typeof argument === 'function')
      return Reflect.apply(listen, this, [{ port: 0, host: '127.0.0.1' }, ...done === undefined ? [] : [done]]) as Server
    } as typeof listen
    return () => { Server.prototype.listen = listen }
  }

  /** Standard output is the test runner's, and applications write their logs there. */
  #catchOutput (): () => void {
    const { log } = console
    const { write } = process.stdout
    console.log = () => {}
    process.stdout.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
      if (typeof chunk !== 'string' || !chunk.startsWith('{"level":')) return Reflect.apply(write, process.stdout, [chunk, ...rest]) as boolean
      this.#log.push(...chunk.trimEnd().split('\n'))
      return true
    }) as typeof write
    return () => {
      console.log = log
      process.stdout.write = write
    }
  }

  /** Fastify tells of every application that is made. */
  #noteApplications (): () => void {
    const initialization = channel('fastify.initialization')
    const note = (message: unknown): void => {
      const { fastify: app } = message as { fastify: FastifyInstance }
      const routes: RouteOptions[] = []
      this.#hear(app)
      app.get(LOOK, async request => registrationsOn(app.server).map(({ settings: { sessionName } }) =>
        (Reflect.get(request, sessionName) as Session | undefined)?.has('userId' as SessionKey)))
      app.addHook('onRoute', route => { routes.push(route) })
      this.#apps.push({ app, routes })
    }
    initialization.subscribe(note)
    return () => { initialization.unsubscribe(note) }
  }

  /** An application without a log says the same, and nobody would hear it. The answers of requests are looked at by themselves. */
  #hear ({ log }: FastifyInstance): void {
    if (log.error !== log.trace) return
    const hear = (about: unknown, text?: string): void => {
      if (typeof about !== 'object' || about === null || !('req' in about)) this.complaints.push(`The log says ${text ?? String(about)}`)
    }
    const hearOfLosses = (about: unknown, text = String(about)): void => { if (LOSS.test(text)) hear(about, text) }
    Object.assign(log, { warn: hearOfLosses, error: hear, fatal: hear })
  }

  /** For a block that is a test itself. */
  #lendTest (): () => void {
    const test = async (title: string, run: (t: Test) => unknown): Promise<unknown> => await this.#t.test(title, run)
    const runner = { test, it: test, before: (run: () => unknown) => run(), after: (run: () => unknown) => { this.#t.teardown(run) } }
    Reflect.set(globalThis, RUNNERS, { tap: this.#t, 'node:test': Object.assign(test.bind(undefined), runner) })
    return () => { Reflect.deleteProperty(globalThis, RUNNERS) }
  }
}

/** So that no clock of a block keeps the process. */
function stopClocks (): () => void {
  const { setInterval } = globalThis
  globalThis.setInterval = ((...args: Parameters<typeof setInterval>) => setInterval(...args).unref()) as typeof setInterval
  return () => { globalThis.setInterval = setInterval }
}

/** A path of a route, its parameters filled in. */
function pathOf (url: string): string {
  const path = url.replaceAll(/:\w+(\([^)]*\))?\??/g, 'u-42').replaceAll('*', '')
  return path === '' ? '/' : path
}

function setEnvironment (environment: Readonly<Record<string, string>>): () => void {
  const before = { ...process.env }
  Object.assign(process.env, environment)
  return () => {
    for (const name of Object.keys(process.env)) if (!(name in before)) Reflect.deleteProperty(process.env, name)
    Object.assign(process.env, before)
  }
}

/** Takes back what a block has left in packages of which a process has one. */
export async function forget (code: string): Promise<void> {
  for (const [name, clear] of Object.entries(GLOBALS)) if (code.includes(`'${name}'`)) clear(await import(name))
}
