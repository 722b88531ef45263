import { createBeside } from './beside.js'

/**
 * Tells one call to stop. Made for every call and seldom used, so it is light: an `AbortController` with its listeners costs
 * more than the timer of a deadline, and is made only for those who ask for it.
 */
export class Stop {
  /** Why it has to stop; undefined as long as it need not. */
  reason: Error | undefined
  /** Called once, when it has to stop. One call is one attempt at a time, so one is enough. */
  onStop: ((reason: Error) => void) | undefined
  #controller: AbortController | undefined

  /** The same for who takes no other, such as the SDK. */
  get signal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.reason !== undefined) this.#controller.abort(this.reason)
    return this.#controller.signal
  }

  stop (reason: Error): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.#controller?.abort(reason)
    this.onStop?.(reason)
  }
}

/** Clients whose calls are found by what they send. */
const finders = new WeakSet()

/** What stops a call, by its input, and then by its request. */
const stops = createBeside<Stop>()

/** From now on calls of this client are stopped by `stopOf`, not by an option. */
export function findStops (client: object): void {
  finders.add(client)
}

/**
 * The options with which a client sends an input, so that the call can be stopped. The SDK builds its stack of middleware
 * anew for every call that has options, which is why clients made here do without.
 */
export function stoppable (client: object, input: object, stop: Stop): { abortSignal: AbortSignal } | undefined {
  if (!finders.has(client)) return { abortSignal: stop.signal }
  stops.set(input, stop)
  return undefined
}

/** The request that an input has become is stopped with it. */
export function handStop (input: object, request: object): void {
  const stop = stops.get(input)
  if (stop !== undefined) stops.set(request, stop)
}

export function stopOf (request: object): Stop | undefined {
  return stops.get(request)
}
