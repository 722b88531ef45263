declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  /** As far as the benchmarks use it. */
  export interface Request {
    method?: 'GET' | 'POST'
    path?: string
    headers?: Record<string, string>
    setupRequest?: (request: Request) => Request
    onResponse?: (status: number, body: string, context: object, headers: Record<string, string | string[]>) => void
  }

  export interface Client extends EventEmitter {
    setHeaders (headers: Record<string, string>): void
    setRequests (requests: Request[]): void
  }

  export interface Options {
    url: string
    connections: number
    /** Requests in all. */
    amount?: number
    /** Seconds, without `amount`. */
    duration?: number
    /** Requests a second, all connections together. */
    overallRate?: number
    /** Milliseconds between two looks whether all is done. */
    sampleInt?: number
    setupClient?: (client: Client) => void
  }

  export interface Result { '2xx': number, non2xx: number, errors: number }

  export default function autocannon (options: Options): Promise<Result>
}
