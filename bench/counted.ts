import type { Settings } from './applications/serve.js'
import { visitorsOf, whileRunning } from './arena.js'
import type { Contestant } from './contestants.js'
import { Counter } from './counter.js'
import { cycleOf, load, paused, signIn } from './load.js'
import { READ, type Cell, type Plan } from './plan.js'
import type { CountedCell, Paused } from './results.js'

/** Connections while calls are counted: time does not matter, and Amazon's own engine is not quick. */
const CONNECTIONS = 4

/** What each kind of traffic asks of an engine, and what that costs by the engine's own account. */
export async function countCalls (contestants: readonly Contestant[], cells: readonly Cell[], settings: Settings, plan: Plan): Promise<CountedCell[]> {
  const counter = await Counter.start(settings.endpoint)
  try {
    return await whileRunning(contestants, { ...settings, endpoint: counter.endpoint }, async running => {
      const counted: CountedCell[] = []
      for (const whole of cells) {
        const cell = { ...whole, connections: CONNECTIONS }
        const those = running.filter(({ contestant }) => cell.who.includes(contestant.kind))
        const found: Array<CountedCell['counted'][number]> = []
        for (const { contestant, url } of those) {
          const cookies = await visitorsOf(url, cell)
          // The first request of a store may look at the table.
          await load(url, cell.traffic, cookies, CONNECTIONS * cycleOf(cell.traffic), cell.size)
          counter.take()
          const { requests } = await load(url, cell.traffic, cookies, plan.countedRequests, cell.size)
          found.push({ contestant: contestant.id, requests, counts: counter.take() })
        }
        counted.push({ cell, counted: found })
      }
      return counted
    })
  } finally {
    await counter.close()
  }
}

/** What bursts with pauses between them ask of an engine: where a cache shows. */
export async function countPaused (contestants: readonly Contestant[], settings: Settings, { paused: plan }: Plan): Promise<Paused[]> {
  const counter = await Counter.start(settings.endpoint)
  try {
    return await whileRunning(contestants, { ...settings, endpoint: counter.endpoint }, async running => {
      const found: Paused[] = []
      for (const { contestant, url } of running) {
        const cookies = await signIn(url, plan.browsers, READ.size)
        counter.take()
        const requests = await paused(url, cookies, plan.bursts, plan.requests, plan.seconds)
        found.push({ contestant: contestant.id, requests, counts: counter.take() })
      }
      return found
    })
  } finally {
    await counter.close()
  }
}
