import { availableParallelism } from 'node:os'
import type { Settings } from './applications/serve.js'
import { measure, preheat, run, type Running } from './arena.js'
import { ask, stop } from './child.js'
import type { Contestant } from './contestants.js'
import type { StubEngine } from './engine.js'
import { load, signIn } from './load.js'
import type { Usage } from './measure.js'
import { READ, type Plan } from './plan.js'
import type { Processes, Slice } from './results.js'
import { interleaved } from './statistics.js'

const CONNECTIONS = 64

interface Candidate { readonly processes: number, readonly running: Running, readonly cookies: readonly string[], readonly slices: Slice[], requests: number }

/** The same application as one process and as several. */
export async function measureProcesses (contestant: Contestant, settings: Settings, stub: StubEngine, plan: Plan): Promise<Processes[]> {
  const candidates: Candidate[] = []
  const shares = new Map<Candidate, Processes['shares']>()
  try {
    for (const processes of plan.processes.numbers) {
      const running = await run(contestant, { ...settings, processes })
      // Each process has its own code to compile.
      await preheat(running, plan.preheat * processes)
      const cookies = await signIn(running.url, CONNECTIONS, READ.size)
      const candidate: Candidate = { processes, running, cookies, slices: [], requests: 1000 }
      candidates.push(candidate)
      for (const seconds of [plan.warmUp, plan.slice]) {
        const { requests, seconds: took } = await read(candidate)
        candidate.requests = requests / took * seconds
      }
    }
    for (const order of interleaved(candidates, plan.rounds)) {
      for (const candidate of order) {
        const { slice, share } = await watched(candidate, stub)
        candidate.slices.push(slice)
        shares.set(candidate, share)
      }
    }
  } finally {
    for (const { running } of candidates) await stop(running.child)
  }
  return candidates.map(candidate => ({ contestant: contestant.id, processes: candidate.processes, slices: candidate.slices, shares: shares.get(candidate) ?? { application: 0, stub: 0, load: 0 } }))
}

async function read ({ running, cookies, requests }: Candidate) {
  return await load(running.url, 'read', cookies, requests, READ.size)
}

/** A round, and who had the machine meanwhile: where the load generator and the stub take a core, no application can have it. */
async function watched (candidate: Candidate, stub: StubEngine): Promise<{ slice: Slice, share: Processes['shares'] }> {
  const { child } = candidate.running
  const start = performance.now()
  const before = [(await ask<Usage>(child, 'usage')).cpu, await stub.cpu(), ownCpu()] as const
  const slice = await measure(child, stub, async () => await read(candidate))
  const all = (performance.now() - start) * 1000 * availableParallelism()
  const [application, stubs, own] = [(await ask<Usage>(child, 'usage')).cpu, await stub.cpu(), ownCpu()]
  return { slice, share: { application: (application - before[0]) / all, stub: (stubs - before[1]) / all, load: (own - before[2]) / all } }
}

function ownCpu (): number {
  const { user, system } = process.cpuUsage()
  return user + system
}
