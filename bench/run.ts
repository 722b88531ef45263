// npm run bench: everything side by side in one run. With --quick the same questions in two minutes.
import { writeFileSync } from 'node:fs'
import { createTable, hasJava } from '../test/support/engines.js'
import { measureCell, preheat, whileRunning, type Engine } from './arena.js'
import { compile } from './build.js'
import { renderChart } from './chart.js'
import { BASE, contestants, type Contestant } from './contestants.js'
import { countCalls, countPaused } from './counted.js'
import { startLocal, StubEngine } from './engine.js'
import { describeMachine } from './machine.js'
import { measureOwnWork } from './own-work.js'
import { planOf, READ, type Cell, type Plan } from './plan.js'
import { measureProcesses } from './processes.js'
import { renderResults } from './report.js'
import type { MeasuredCell, Processes, Results, Soak, Stored } from './results.js'
import { soak } from './soak.js'
import { measureStartUp } from './start-up.js'
import { median } from './statistics.js'
import { measureStored, type Owner } from './stored.js'

const plan = planOf(process.argv.includes('--quick') ? 'quick' : 'full')
const machine = describeMachine()
const { all, cached, missing } = contestants()
const began = performance.now()

function say (text: string): void {
  console.error(`${Math.round((performance.now() - began) / 1000).toString().padStart(5)} s  ${text}`)
}

function whoseKindIsIn (cells: readonly Cell[]): Contestant[] {
  return all.filter(({ kind }) => cells.some(({ who }) => who.includes(kind)))
}

/** The one that applications get by default. */
const ours = all.find(({ id }) => id === 'ours-batched') ?? all.find(({ id }) => id === 'ours') as Contestant

async function measureCells (cells: readonly Cell[], engine: Engine, table: string, between: (cell: Cell) => Promise<void>): Promise<MeasuredCell[]> {
  return await whileRunning(whoseKindIsIn(cells), { endpoint: engine.endpoint, table }, async running => {
    say('Warming up')
    for (const one of running) await preheat(one, plan.preheat)
    const measured: MeasuredCell[] = []
    for (const cell of cells) {
      say(cell.title)
      await between(cell)
      measured.push({ cell, measured: await measureCell(running, cell, engine, plan) })
    }
    return measured
  })
}

async function onStub (stub: StubEngine) {
  const settings = { endpoint: stub.endpoint, table: 'sessions' }
  const cells = await measureCells(plan.cells, stub, settings.table, async ({ delay }) => {
    await stub.clear()
    await stub.delay(delay)
  })
  await stub.delay(0)
  await stub.clear()
  say('One process and several')
  const processes: Processes[] = []
  for (const contestant of all.filter(({ id }) => plan.processes.who.includes(id))) processes.push(...await measureProcesses(contestant, settings, stub, plan))
  say('Start-up')
  const startUp = await measureStartUp(whoseKindIsIn(plan.cells), settings, plan.starts)
  return { cells, soak: await soakAll(stub, cells), stored: await storedOn(stub), processes, startUp }
}

async function soakAll (stub: StubEngine, cells: readonly MeasuredCell[]): Promise<Soak[]> {
  const soaked: Soak[] = []
  const [, { measured } = { measured: [] }] = cells.filter(({ cell }) => ['anonymous', 'read'].includes(cell.traffic))
  for (const contestant of all.filter(({ id }) => plan.soak.who.includes(id))) {
    say(`${READ.title} for ${plan.soak.seconds} s: ${contestant.label}`)
    await stub.clear()
    const slices = measured.find(one => one.contestant === contestant.id)?.slices ?? []
    const rate = median(slices.map(({ requests, seconds }) => requests / seconds))
    soaked.push(await whileRunning([contestant], { endpoint: stub.endpoint, table: 'sessions' },
      async ([running]) => await soak(running as NonNullable<typeof running>, rate, plan.soak.seconds)))
  }
  return soaked
}

async function storedOn (stub: StubEngine): Promise<Stored[]> {
  say(`${plan.stored.map(String).join(', ')} sessions stored`)
  await stub.clear()
  const those = all.filter(({ id }) => [BASE, ours.id].includes(id))
  const settings = (table: string) => ({ endpoint: stub.endpoint, table })
  const [first, second] = those as [Contestant, Contestant]
  return await whileRunning([first], settings('first'), async ([one]) =>
    await whileRunning([second], settings('second'), async ([other]) =>
      await measureStored([{ running: one, table: 'first' }, { running: other, table: 'second' }] as Owner[], stub, plan)))
}

async function onLocal (notes: string[], run: Plan): Promise<Pick<Results, 'local' | 'counted' | 'paused'>> {
  if (!hasJava()) {
    notes.push('DynamoDB Local: Java 17 is missing')
    return { local: [], counted: [], paused: [] }
  }
  say('DynamoDB Local')
  const engine = await startLocal()
  try {
    const table = await createTable(engine)
    const settings = { endpoint: engine.endpoint, table }
    const local = await measureCells(run.local, { endpoint: engine.endpoint }, table, async () => {})
    say('Counting calls')
    const traffic = run.cells.filter(({ traffic, title }) => traffic !== 'read' || title === READ.title)
    const counted = await countCalls(whoseKindIsIn(traffic), traffic, settings, run)
    say('Bursts with pauses')
    const reading = cached === undefined ? [ours] : [ours, cached]
    return { local, counted, paused: await countPaused(reading, settings, run) }
  } finally {
    await engine.close()
  }
}

await compile()
say(`${plan.mode} run, load of the machine ${machine.loadBefore.toFixed(2)}`)
const notes = [...missing]
say('The plugin\'s own work')
const ownWork = await measureOwnWork(plan.ownWork)
const stub = await StubEngine.start()
const measured = await onStub(stub).finally(async () => { await stub.close() })
const results: Results = {
  machine,
  mode: plan.mode,
  contestants: [...all, ...cached === undefined ? [] : [cached]],
  missing: notes,
  ownWork,
  ...measured,
  ...await onLocal(notes, plan)
}
writeFileSync(new URL('results.md', import.meta.url), renderResults(results))
writeFileSync(new URL('results.svg', import.meta.url), renderChart(results))
say('Written: bench/results.md, bench/results.svg')
