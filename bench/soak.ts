import { setInterval } from 'node:timers/promises'
import type { Running } from './arena.js'
import { ask } from './child.js'
import { signIn, steady } from './load.js'
import type { LoopDelay, Usage } from './measure.js'
import { READ } from './plan.js'
import type { Soak } from './results.js'

/** How much of what it can bear an application is given. */
const SHARE = 0.8

/** Each connection reads a session of its own. A multiple of the load generator's instances. */
const VISITORS = 64

/** Seconds of the same load before anything is noted. */
const WARM_UP = 3

/** A long steady load: whether memory grows, and whether the event loop keeps up. */
export async function soak ({ contestant, child, url }: Running, rate: number, seconds: number): Promise<Soak> {
  const cookies = await signIn(url, VISITORS, READ.size)
  const wanted = rate * SHARE
  await steady(url, cookies, wanted, WARM_UP)
  const heapBefore = await ask<number>(child, 'heap')
  await ask(child, 'watchLoop')
  const watch = new AbortController()
  const rss = watchMemory(async () => (await ask<Usage>(child, 'usage')).rss, watch.signal)
  const answered = await steady(url, cookies, wanted, seconds)
  const loop = await ask<LoopDelay>(child, 'loopDelay')
  watch.abort()
  const heap = [heapBefore, await ask<number>(child, 'heap')] as const
  return { contestant: contestant.id, seconds, wanted, answered: answered / seconds, rss: await rss, heap, loop }
}

async function watchMemory (memory: () => Promise<number>, signal: AbortSignal): Promise<number[]> {
  const seen = [await memory()]
  try {
    for await (const look of setInterval(1000, memory, { signal })) seen.push(await look())
  } catch (error) {
    if (!signal.aborted) throw error
  }
  return seen
}
