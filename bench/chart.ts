import { BASE, type Contestant } from './contestants.js'
import { callCells, compare, cpuOf, figure, find } from './figures.js'
import { READ } from './plan.js'
import type { Measured, Results } from './results.js'
import { median } from './statistics.js'

const WIDTH = 860
const TOP = 64
const ROW = 30
const BAR = 18
/** Where bars begin, and how long the longest is. */
const LEFT = 300
const LONGEST = 320
/** Where the capacity stands. */
const RIGHT = 845

/** Readable on a light and on a dark page. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .note { font-size: 12px; fill: #59636e }
  .bar { fill: #afb8c1 }
  .ours { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .bar { fill: #57606a }
    .ours { fill: #3fb950 }
  }
`

/** What a signed-in read costs each application, as a picture: its processor time as a bar, and its calls and capacity beside it. */
export function renderChart ({ cells, contestants, machine }: Results): string {
  const measured = cells.find(({ cell }) => cell.title === READ.title)?.measured ?? []
  const shown = contestants.flatMap(contestant => {
    const one = find(measured, contestant.id)
    return one === undefined || contestant.kind === 'tuned peer' ? [] : [{ contestant, one, cpu: median(one.slices.map(cpuOf)) }]
  })
  const most = Math.max(...shown.map(({ cpu }) => cpu))
  const rows = shown.map(({ contestant, one, cpu }, index) => row(contestant, cpu, cpu / most, callCells(one.slices), compare(measured, contestant.id, BASE, cpuOf), index))
  const height = TOP + shown.length * ROW + 34
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(summaryOf(shown, measured))}">
<style>${STYLE}</style>
<text class="title" x="15" y="24">A signed-in read: processor time, and what a thousand of them ask of DynamoDB</text>
<text class="note" x="${LEFT}" y="50">µs a request, and beside a GetItem by hand</text>
<text class="note" x="${RIGHT}" y="50" text-anchor="end">calls / RCU / WCU</text>
${rows.join('\n')}
<text class="note" x="15" y="${height - 12}">${escape(`Sessions of 2 KB, peers with their defaults. ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}. bench/results.md`)}</text>
</svg>
`
}

function row ({ label, kind }: Contestant, cpu: number, share: number, calls: string[], beside: number, index: number): string {
  const y = TOP + index * ROW
  const length = Math.max(1, Math.round(share * LONGEST))
  const text = y + BAR - 4
  return [
    `<text x="15" y="${text}">${escape(label.replaceAll('`', ''))}</text>`,
    `<rect class="${kind === 'ours' ? 'bar ours' : 'bar'}" x="${LEFT}" y="${y}" width="${length}" height="${BAR}" rx="2"/>`,
    `<text x="${LEFT + length + 8}" y="${text}">${figure(cpu)} (${figure(beside)})</text>`,
    `<text class="note" x="${RIGHT}" y="${text}" text-anchor="end">${calls.join(' / ')}</text>`
  ].join('\n')
}

/** For those who do not see the picture. */
function summaryOf (shown: ReadonlyArray<{ contestant: Contestant, cpu: number }>, measured: readonly Measured[]): string {
  const each = shown.map(({ contestant: { id, label }, cpu }) => `${label} ${figure(cpu)} µs, ${figure(compare(measured, id, BASE, cpuOf))} of by hand`)
  return `Processor time of a signed-in read: ${each.join('; ')}`
}

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
