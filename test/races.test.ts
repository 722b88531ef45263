import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { onEachEngine } from './support/engines.js'
import { Arena, changeOf, COLUMNS, dataOf, isEnd, TABLES, wordsOf, type Cell, type Row, type Side } from './support/matrix.js'

/** What stands in a cell where there is no pair: two ends of a session and no request. */
const NO_PAIR = '–'

const PAGE = new URL('../docs/reliability.md', import.meta.url)
const HEADING = '## Two requests at once'

/** Outcomes that left nothing behind. */
const WITHOUT_EFFECT = ['blank', 'dropped', 'in vain', '409']
/** Those of which somebody who listens is to hear. */
const REFUSED = ['dropped', '409']

type Words = Record<string, Record<string, Record<string, string>>>

onEachEngine(t, async (t, engine) => {
  const arena = await Arena.open(t, engine)
  const measured: Words = {}
  for (const [title, rows] of Object.entries(TABLES)) {
    const table: Words[string] = measured[title] = {}
    for (const row of rows) {
      await t.test(`${title}, ${row.name}: whatever overtakes it, every promise holds`, async t => { table[row.name] = await runRow(t, arena, row) })
    }
    print(t, title, table)
  }
  t.test('the document tells of each pair what became of it', async t => {
    t.same(measured, readWords(readFileSync(PAGE, 'utf8')))
  })
})

async function runRow (t: Test, arena: Arena, row: Row): Promise<Record<string, string>> {
  const words: Record<string, string> = {}
  for (const column of COLUMNS) {
    const hasPair = !isEnd(row.act) || !isEnd(column)
    const cell = hasPair ? await arena.run(row, column) : undefined
    words[column] = cell === undefined ? NO_PAIR : wordsOf(cell)
    if (cell !== undefined) t.same(brokenPromises(cell), [], `${column}: ${words[column]}`)
  }
  return words
}

/** The promises that a pair broke, in the order of the list. */
function brokenPromises (cell: Cell): string[] {
  const promises: ReadonlyArray<readonly [string, boolean]> = [
    ['every request is answered, with 200 or 409', cell.sides.every(side => side.outcome !== 'failed')],
    ['after an acknowledged destroy there is no data', !isDestroyed(cell) || isWithoutData(cell)],
    ['a session ends only where something ends it', isAlive(cell) || cell.sides.some(side => endsSession(side))],
    ['at most one session goes on in place of the first', [...cell.alive.keys()].filter(key => !begunAnew(cell).includes(key)).length <= 1],
    ['what was acknowledged is there, unless its session ended', cell.sides.every(side => isKept(cell, side))],
    ['every one of two updates counts', isCounted(cell)],
    ['what had no effect left nothing behind, and sends no token', cell.sides.every(side => hasNoEffect(cell, side))],
    ['what was read is a session as it was, or none', cell.sides.every(isSeenWhole)],
    ['a token that was sent loads, unless its session was ended', cell.sides.every(side => isSentTokenAlive(cell, side))],
    ['there is no record that nobody has a token of', cell.items.every(({ id }) => tokensOf(cell).includes(id?.S))],
    ['every record is whole and ends in time', cell.items.every(isWhole)],
    ['a replaced record holds no data and leads to a token that was sent', cell.items.every(item => isWellReplaced(cell, item))],
    ['only a log-out clears a token', cell.sides.every(({ act, clears }) => !clears || act === 'destroy')],
    ['the browser ends with a living session where there is one', [0, 1].every(order => isWellKept(cell, order as 0 | 1))],
    ['a refusal is told to the events', cell.events.length >= cell.sides.filter(({ outcome }) => REFUSED.includes(outcome)).length],
    ['where nothing was refused, nothing is told as gone', cell.events.every(event => event === 'conflict' || hasRefusal(cell))],
    ['where both had their way, there is no warning', hasRefusal(cell) || cell.sides.every(({ warnings }) => warnings.length === 0)]
  ]
  return promises.filter(([, holds]) => !holds).map(([promise]) => promise)
}

function hasRefusal ({ sides }: Cell): boolean {
  return sides.some(({ outcome }) => REFUSED.includes(outcome))
}

function otherOf ({ sides }: Cell, side: Side): Side {
  return side === sides[0] ? sides[1] : sides[0]
}

function endsSession ({ act, outcome }: Side): boolean {
  return isEnd(act) || (act === 'destroy' && outcome === 'done')
}

function isDestroyed ({ sides }: Cell): boolean {
  return sides.some(({ act, outcome }) => act === 'destroy' && outcome === 'done')
}

/** The records of sessions that were begun by a request that found the first one ended. */
function begunAnew ({ sides }: Cell): Array<string | undefined> {
  return sides.filter(({ outcome }) => outcome === 'anew').map(({ sent }) => sent)
}

function isWithoutData (cell: Cell): boolean {
  return cell.items.every(item => begunAnew(cell).includes(item['id']?.S) || Object.keys(dataOf(item)).length === 0)
}

/** Whether the session that both came with is alive, under whatever token. */
function isAlive (cell: Cell): boolean {
  return [...cell.alive.keys()].some(key => !begunAnew(cell).includes(key))
}

function isKept (cell: Cell, side: Side): boolean {
  const change = changeOf(side)
  if (change === undefined || !['done', 'anew'].includes(side.outcome)) return true
  const other = otherOf(cell, side)
  const isThere = (data: Readonly<Record<string, unknown>> = {}): boolean =>
    side.act === 'update' ? Number(data[change[0]]) >= 1 : data[change[0]] === change[1]
  if (side.outcome === 'anew') return isThere(cell.alive.get(side.sent ?? ''))
  // A log-in leaves behind what was in the session before it.
  if (!isAlive(cell) || (other.act === 'regenerate' && other.outcome === 'done')) return true
  return [...cell.alive].some(([key, data]) => !begunAnew(cell).includes(key) && isThere(data))
}

function isCounted (cell: Cell): boolean {
  const count = cell.sides.filter(({ act, outcome }) => act === 'update' && outcome === 'done').length
  return count < 2 || [...cell.alive.values()].some(data => data['any:n'] === 2)
}

function hasNoEffect (cell: Cell, side: Side): boolean {
  if (!WITHOUT_EFFECT.includes(side.outcome)) return true
  const [key, value] = changeOf(side) ?? []
  const isLeft = key !== undefined && cell.items.map(dataOf).some(data => data[key] === value)
  return side.sent === undefined && (!isLeft || otherOf(cell, side).act === side.act)
}

function isSeenWhole ({ response }: Side): boolean {
  if (response?.statusCode !== 200) return true
  const { found, seen } = response.json() as { found: boolean, seen: Record<string, unknown> }
  return found ? seen['any:old'] === 1 : Object.keys(seen).length === 0
}

function isSentTokenAlive (cell: Cell, side: Side): boolean {
  return side.sent === undefined || cell.alive.has(side.sent) || endsSession(otherOf(cell, side))
}

function tokensOf ({ first, sides }: Cell): Array<string | undefined> {
  return [first, ...sides.map(({ sent }) => sent)]
}

function isWhole (item: Cell['items'][number]): boolean {
  const { data, ver, created, seen, expires, w } = item
  const hasAll = [ver, created, seen, expires].every(number => Number.isInteger(Number(number?.N ?? NaN)))
  return hasAll && data?.M !== undefined && w?.M !== undefined && Number(expires?.N) <= Number(created?.N) + 43_200
}

function isWellReplaced (cell: Cell, item: Cell['items'][number]): boolean {
  const next = item['next']?.S
  return next === undefined || (Object.keys(dataOf(item)).length === 0 && tokensOf(cell).includes(next))
}

/** A log-out clears the token whenever its answer comes: also one that was sent after it and came before. */
function isWellKept (cell: Cell, order: 0 | 1): boolean {
  const key = cell.jars[order]
  const last = cell.sides[order === 0 ? 1 : 0]
  if (cell.alive.size === 0) return true
  return key === undefined ? last.clears && last.outcome === 'done' && begunAnew(cell).length > 0 : cell.alive.has(key)
}

/** The tables of the page, by the heading of their first column, by row and column. */
function readWords (page: string): Words {
  const words: Words = {}
  const [, section = ''] = page.split(`${HEADING}\n`)
  for (const [table] of (section.split('\n## ')[0] ?? '').matchAll(/(?:^\|.*\|\n?)+/gm)) {
    const [[title = '', ...columns] = [], , ...rows] = table.trim().split('\n').map(line => line.split('|').slice(1, -1).map(cell => cell.replaceAll('`', '').trim()))
    words[title] = Object.fromEntries(rows.map(([name, ...cells]) => [name, Object.fromEntries(cells.map((cell, index) => [columns[index], cell]))]))
  }
  return words
}

function print (t: Test, title: string, table: Words[string]): void {
  const lines = [[title, ...COLUMNS], ['---', ...COLUMNS.map(() => '---')], ...Object.entries(table).map(([name, row]) => [name, ...Object.values(row)])]
  t.comment(lines.map(cells => `| ${cells.join(' | ')} |`).join('\n'))
}
