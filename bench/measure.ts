import { monitorEventLoopDelay } from 'node:perf_hooks'
import { LOOP_RESOLUTION } from './plan.js'

/** What a process has used until now. */
export interface Usage {
  /** Microseconds of the processor, user and system. */
  readonly cpu: number
  /** Bytes. */
  readonly rss: number
  readonly heap: number
}

/** Milliseconds by which the event loop was late, the resolution included. */
export interface LoopDelay { readonly p50: number, readonly p99: number, readonly max: number }

/** What each application tells of its own process. */
export function measures (): Record<string, () => unknown> {
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION })
  return {
    usage: (): Usage => {
      const { user, system } = process.cpuUsage()
      const { rss, heapUsed: heap } = process.memoryUsage()
      return { cpu: user + system, rss, heap }
    },
    /** Bytes of the heap that are in use after everything else was collected. */
    heap: () => {
      globalThis.gc?.()
      return process.memoryUsage().heapUsed
    },
    watchLoop: () => {
      loop.reset()
      loop.enable()
    },
    loopDelay: (): LoopDelay => {
      loop.disable()
      return { p50: loop.percentile(50) / 1e6, p99: loop.percentile(99) / 1e6, max: loop.max / 1e6 }
    }
  }
}
