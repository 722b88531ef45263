import type { Socket } from 'node:net'
import type { buildConnector, Client, Dispatcher } from 'undici'

export type Undici = Pick<typeof import('undici'), 'Client' | 'buildConnector' | 'errors'>

/** A request that wants to be sent, and what comes of it. */
export interface Call extends Dispatcher.DispatchHandler {
  readonly request: Dispatcher.DispatchOptions
  /** Whether it was given up. */
  readonly isOver: boolean
  /** Called when it has a connection, or one is being made for it. */
  onConnection (connection: Connection): void
  fail (reason: Error): void
}

export interface Limits {
  /** Connections at most, those that are being made included. */
  readonly most: number
  /** Milliseconds for which one without calls is kept. */
  readonly idle: number
  /** Milliseconds after which undici gives up making one, where whoever asked for it has not done so. */
  readonly making: number
}

/** One connection, with one call at a time. */
export class Connection {
  readonly #client: Client
  #making: Socket | undefined
  #call: Call | undefined
  /** Whether it waits for a call, and since when. */
  isFree = false
  freeSince = 0

  constructor (make: (connect: buildConnector.connector) => Client, connect: buildConnector.connector) {
    this.#client = make((options, done) => {
      // undici's types keep silent on it. Without it, a connection that nobody waits for any more ends by its own limit.
      this.#making = connect(options, done) as unknown as Socket | undefined
    })
    this.#client.on('connect', () => { this.#making = undefined })
  }

  get isOpen (): boolean {
    return this.#client.stats.connected
  }

  get isBusy (): boolean {
    return this.#client.stats.size > 0
  }

  /** Whether the call that it carries was given up. */
  get isForNobody (): boolean {
    return this.#call?.isOver === true
  }

  /** Whether the call was taken. One that undici refuses as it is has failed, and occupies nothing. */
  carry (call: Call): boolean {
    this.isFree = false
    this.#call = call
    call.onConnection(this)
    this.#client.dispatch(call.request, call)
    return this.isBusy
  }

  /** Ends what is being made, since whoever asked for it has given up. */
  abandon (reason: Error): void {
    this.#making?.destroy(reason)
  }

  destroy (reason: Error | null = null): void {
    this.#client.destroy(reason).catch(() => {})
    this.#making?.destroy()
  }
}

/**
 * The connections to one host. undici's Pool has no bound while connections cannot be made, keeps what waits there after it was
 * given up, and loses a place to each request that it refuses.
 */
export class Connections {
  readonly #make: (connect: buildConnector.connector) => Client
  readonly #newError: () => Error
  readonly #limits: Limits
  /** One for all, since it keeps what shortens the next handshake. */
  readonly #connect: buildConnector.connector
  readonly #all = new Set<Connection>()
  /** The one that was used last is the last, so that those too many grow old. */
  readonly #free: Connection[] = []
  readonly #waiting = new Set<Call>()

  constructor (origin: string, { Client, buildConnector, errors }: Undici, limits: Limits) {
    const { idle, making } = limits
    this.#limits = limits
    this.#connect = buildConnector({ timeout: making })
    this.#make = connect => new Client(origin, { connect, keepAliveTimeout: idle, keepAliveMaxTimeout: idle, headersTimeout: 0, bodyTimeout: 0 })
    this.#newError = () => new errors.ClientDestroyedError()
  }

  /** Sends a call, as soon as there is a connection for it. */
  send (call: Call): void {
    this.#waiting.add(call)
    this.#serve()
  }

  /** A call that was given up waits no longer. */
  forget (call: Call): void {
    this.#waiting.delete(call)
  }

  destroy (): void {
    const reason = this.#newError()
    for (const call of this.#waiting) call.fail(reason)
    this.#waiting.clear()
    for (const connection of this.#all) connection.destroy()
  }

  /** In a process that stood still, nobody has closed what became too old meanwhile. */
  #takeFree (): Connection | undefined {
    const connection = this.#free.pop()
    if (connection === undefined || performance.now() - connection.freeSince < this.#limits.idle) return connection
    for (const old of [connection, ...this.#free.splice(0)]) this.#discard(old)
    return undefined
  }

  #open (): Connection | undefined {
    if (this.#all.size >= this.#limits.most) return undefined
    const connection: Connection = new Connection(connect => this.#make(connect)
      .on('drain', () => { this.#onFree(connection) })
      .on('disconnect', () => { this.#onClosed(connection) })
      .on('connectionError', (_origin, _targets, error) => { this.#drop(connection, error) }), this.#connect)
    this.#all.add(connection)
    return connection
  }

  /** In a loop, since any number of those who wait may be refused. */
  #serve (): void {
    for (const call of this.#waiting) {
      const connection = this.#takeFree() ?? this.#open()
      if (connection === undefined) return
      this.#waiting.delete(call)
      if (!connection.carry(call)) this.#giveBack(connection)
    }
  }

  #giveBack (connection: Connection): void {
    if (!connection.isOpen) {
      this.#discard(connection)
      return
    }
    connection.isFree = true
    connection.freeSince = performance.now()
    this.#free.push(connection)
  }

  /** undici may say so of a call that it refused, when the connection was given back, and perhaps out again, long before. */
  #onFree (connection: Connection): void {
    if (connection.isFree || connection.isBusy) return
    this.#giveBack(connection)
    this.#serve()
  }

  /** One with a call goes on by itself: undici makes it anew, also where the call was given up, or says that it is free. */
  #onClosed (connection: Connection): void {
    if (connection.isFree) this.#free.splice(this.#free.indexOf(connection), 1)
    if (connection.isFree || connection.isForNobody) this.#drop(connection)
  }

  #drop (connection: Connection, reason: Error | null = null): void {
    this.#discard(connection, reason)
    this.#serve()
  }

  #discard (connection: Connection, reason: Error | null = null): void {
    this.#all.delete(connection)
    connection.destroy(reason)
  }
}
