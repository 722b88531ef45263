import { CALL_HEADINGS, callCells, cpuOf, figure, LOAD_HEADINGS, loadCells, megabytes, overBare, percent, perThousand, rateOf, table } from './figures.js'
import { BASE } from './contestants.js'
import { LOOP_RESOLUTION } from './plan.js'
import type { MeasuredCell, Results } from './results.js'
import { median, ratio, spread, summarize } from './statistics.js'
import { targetsOf } from './targets.js'

/** Processes that want to run, for each core, beyond which a machine is not quiet. */
const QUIET = 0.3

/** The results as a page. From what was measured and nothing else, so that the same measurements make the same page. */
export function renderResults (results: Results): string {
  const sections = [
    heading(results), targets(results), ownWork(results), traffic(results), local(results), counted(results), paused(results),
    soaks(results), stored(results), processes(results), startUp(results)
  ]
  return sections.flatMap(section => section).join('\n\n') + '\n'
}

function labels ({ contestants }: Results): (id: string) => string {
  const byId = new Map(contestants.map(({ id, label }) => [id, label]))
  return id => byId.get(id) ?? id
}

function heading ({ machine, mode, missing }: Results): string[] {
  const { date, cpu, cores, memory, node, loadBefore, packages } = machine
  const isQuiet = loadBefore <= cores * QUIET
  return [
    '# Results',
    `Written by \`npm run bench${mode === 'quick' ? ' -- --quick' : ''}\` on ${date}. ${cpu}, ${cores} cores, ${Math.round(memory / 2 ** 30)} GB, Node ${node}.`,
    isQuiet
      ? `The machine was quiet (load ${loadBefore.toFixed(2)}).`
      : `**The machine was not quiet** (load ${loadBefore.toFixed(2)}): requests a second are too low and times too long. Ratios come from interleaved rounds and suffer less.`,
    Object.entries(packages).map(([name, version]) => `${name} ${version}`).join(', ') + '.',
    'Everybody runs as one process, with a load generator and a DynamoDB beside it. Rounds are interleaved; figures are medians, ± is half the distance between the lowest and the highest round, and ratios to "by hand" are medians of the ratios of each round. CPU is user and system time of the application\'s process for each request, and the figure to trust: requests a second depend on what the load generator and the stub leave of the cores. Calls and capacity (RCU, WCU) are those of a thousand requests.',
    'Sessions have 2 KB of JSON in 10 keys, where nothing else is said, and each connection reads one of its own. `rolling: false` and `resave: false` go with `saveUninitialized: false`; the other peers have their defaults, but @fastify/session `cookie.secure: false`, because it sets no cookie over plain HTTP otherwise. @pwrdrvr/dynamodb-session-store cannot be loaded as it was published; it is given the helper of the TypeScript compiler that it lacks.',
    ...missing.map(text => `Not measured: ${text}.`)
  ]
}

function targets (results: Results): string[] {
  const verdict = (met: boolean | undefined): string => met === undefined ? '–' : met ? 'yes' : '**no**'
  return [
    '## What it is meant to reach',
    table(['target', 'found', 'met'], targetsOf(results).map(({ text, found, met }) => [text, found, verdict(met)]))
  ]
}

function ownWork ({ ownWork }: Results): string[] {
  return [
    '## The plugin\'s own work',
    'Requests that Fastify is handed in the process (`inject`), and a client that answers at once from memory: neither a network nor the SDK takes part. What the plugin does is what a request takes more than that of an application without it.',
    table(['request', 'CPU µs', '±', 'the plugin\'s own'], ownWork.map(work => [
      work.visit, figure(median(work.cpu)), percent(spread(summarize(work.cpu))), figure(overBare(ownWork, work))
    ]))
  ]
}

function loadTable (results: Results, { measured }: MeasuredCell): string {
  const label = labels(results)
  return table([...LOAD_HEADINGS, ...CALL_HEADINGS, 'stub µs'], measured.map(one => [
    label(one.contestant), ...loadCells(measured, one), ...callCells(one.slices), figure(median(one.slices.map(({ stubCpu = NaN }) => stubCpu)))
  ]))
}

function traffic (results: Results): string[] {
  const loads = results.cells.flatMap(one => [`### ${one.cell.title}`, `${connections(one)}.`, loadTable(results, one)])
  return [
    '## On a stub: what the client costs',
    'The stub answers at once, or after the delay that is named; it validates nothing and keeps items in memory, and charges capacity by DynamoDB\'s rules. The last column is its own processor time for each request: as long as it is far less than the application\'s, it holds nobody up.',
    ...loads
  ]
}

function connections ({ cell: { traffic, connections, delay } }: MeasuredCell): string {
  const number = traffic === 'burst' ? `${connections} browsers, each with 20 connections` : `${connections} connections`
  return delay === 0 ? number : `${number}, a service that takes ${delay} ms`
}

function local (results: Results): string[] {
  const label = labels(results)
  const loads = results.local.flatMap(one => [
    `### ${one.cell.title}, on DynamoDB Local`,
    `${connections(one)}.`,
    table(LOAD_HEADINGS, one.measured.map(each => [label(each.contestant), ...loadCells(one.measured, each)]))
  ])
  if (loads.length === 0) return []
  return [
    '## On DynamoDB Local: the whole path',
    'Amazon\'s own engine validates, checks conditions and writes to SQLite, and has the same cores as the application and the load generator: requests a second say little here.',
    ...loads
  ]
}

function counted (results: Results): string[] {
  const label = labels(results)
  const tables = results.counted.flatMap(({ cell, counted }) => [
    `### ${cell.title}: calls`,
    table(['application', ...CALL_HEADINGS, 'which', 'bytes sent a call'], counted.map(({ contestant, requests, counts }) => [
      label(contestant),
      ...perThousand(requests, counts).map(figure),
      Object.entries(counts).map(([action, { calls }]) => `${figure(calls / requests * 1000)} ${action}`).join(', ') || 'none',
      Object.values(counts).map(({ sent, calls }) => figure(sent / calls)).join(', ')
    ]))
  ])
  return tables.length === 0 ? [] : ['## Calls and capacity by the account of DynamoDB Local', 'Of a thousand requests.', ...tables]
}

function paused (results: Results): string[] {
  const label = labels(results)
  if (results.paused.length === 0) return []
  return [
    '## Six requests of a browser at once, every two seconds',
    table(['application', 'requests', 'reads a request'], results.paused.map(({ contestant, requests, counts }) =>
      [label(contestant), figure(requests), figure(perThousand(requests, counts)[0] / 1000)]))
  ]
}

function soaks (results: Results): string[] {
  const label = labels(results)
  const rows = results.soak.map(({ contestant, seconds, wanted, answered, rss, heap, loop }) => [
    label(contestant), figure(seconds), figure(wanted), figure(answered),
    `${megabytes(rss[0] ?? NaN)} → ${megabytes(rss.at(-1) ?? NaN)}`, megabytes(Math.max(...rss)), `${megabytes(heap[0])} → ${megabytes(heap[1])}`,
    figure(loop.p50), figure(loop.p99), figure(loop.max)
  ])
  return [
    '## A steady load: memory and the event loop',
    `Signed-in reads of 64 sessions at 80 % of what the application bears, on the stub. Event-loop delays hold the ${LOOP_RESOLUTION} ms between two looks.`,
    table(['application', 'seconds', 'requests/s wanted', 'answered', 'RSS MB', 'most', 'heap after a collection MB', 'loop delay p50 ms', 'p99', 'most'], rows)
  ]
}

function stored (results: Results): string[] {
  const label = labels(results)
  const rows = results.stored.flatMap(({ sessions, measured }) => measured.map(one => [
    label(one.contestant), figure(sessions), ...loadCells(measured, one)
  ]))
  return [
    '## Few sessions and many',
    'Each request reads another session, chosen at random among all that are stored. The stub keeps them, since what could grow with their number here is what an application keeps itself; that a large table answers as quickly as a small one is DynamoDB\'s promise.',
    table(['application', 'sessions', ...LOAD_HEADINGS.slice(1)], rows)
  ]
}

function processes (results: Results): string[] {
  const label = labels(results)
  const rows = results.processes.map(({ contestant, processes, slices, shares }) => {
    const one = results.processes.filter(first => first.contestant === contestant).slice(0, 1).flatMap(first => first.slices)
    const rates = summarize(slices.map(rateOf))
    return [
      label(contestant), String(processes), figure(rates.median), percent(spread(rates)), figure(ratio(slices.map(rateOf), one.map(rateOf))), figure(median(slices.map(cpuOf))),
      percent(shares.application), percent(shares.stub), percent(shares.load)
    ]
  })
  return [
    '## One process and several',
    'Signed-in reads over 64 connections, shared out by node:cluster. The last columns say who had the machine in the last round: where the stub and the load generator take much of it, more processes have nothing to run on. Reads that travel together do so within a process: the same visitors on more processes travel in smaller batches.',
    table(['application', 'processes', 'requests/s', '±', 'times one', 'CPU µs', 'application', 'stub', 'load generator'], rows)
  ]
}

function startUp (results: Results): string[] {
  const label = labels(results)
  const base = results.startUp.find(({ contestant }) => contestant === BASE)?.listening ?? []
  return [
    '## Start-up',
    'Milliseconds since the process began, until the packages were loaded and until the application listened.',
    table(['application', 'loaded', '±', 'listening', '±', 'of by hand'], results.startUp.map(({ contestant, imported, listening }) => {
      const [loads, listens] = [summarize(imported), summarize(listening)]
      return [label(contestant), figure(loads.median), percent(spread(loads)), figure(listens.median), percent(spread(listens)), figure(ratio(listening, base))]
    }))
  ]
}
