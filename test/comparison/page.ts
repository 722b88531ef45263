// Writes docs/comparison.md.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { read, root, rowsIn } from '../support/documents.js'
import { BEHAVIOUR_THEMES } from './behaviour.js'
import { SESSION_THEMES } from './sessions.js'
import { SYSTEMS, type Cell, type Evidence, type ReadFile, type Row, type Theme } from './systems.js'
import { TABLE_THEMES } from './tables.js'
import { CHOICE, INTRODUCTION, LEGEND, NOT_HERE } from './words.js'

export const PAGE = 'docs/comparison.md'

export const THEMES: readonly Theme[] = [...SESSION_THEMES, ...BEHAVIOUR_THEMES, ...TABLE_THEMES]

/** The whole document. */
export function comparison (): string {
  return [
    '# Beside other session libraries', '', INTRODUCTION, '', ...systems(), '', LEGEND, '', '## Which one to choose', '', CHOICE, '', '## What this one does not do', '', NOT_HERE, '',
    ...THEMES.flatMap((theme, index) => themeTable(theme, index + 1)),
    ...costs(),
    '## The evidence', '', EVIDENCE, '',
    ...measurements(),
    ...THEMES.flatMap((theme, index) => themeEvidence(theme, index + 1)),
    ...links(),
    '[M]: #measured',
    ...sources()
  ].join('\n').trimEnd() + '\n'
}

const EVIDENCE = `For this library, tests of its repository by file and title; for installed packages, the line of a file of theirs at which these words
stand; for others, the file at the commit that was read, and words in it. Where it says "no" and a word, that word stands nowhere in the code.
M and a number is a [measurement][M].`

/** Every evidence there is, as it is told. */
function evidences (): Evidence[] {
  return THEMES.flatMap(({ rows }) => rows.flatMap(({ cells }) => SYSTEMS.flatMap(({ id }) => [...cells[id].evidence])))
}

/** What was measured, in the order in which it is first told. */
const MEASUREMENTS = [...new Set(evidences().flatMap(evidence => isMeasurement(evidence) ? [titleOf(evidence)] : []))]

function isMeasurement (evidence: Evidence): evidence is Test {
  return evidence.kind === 'test' && ['test/comparison.test.ts', 'test/reading/differential.test.ts'].includes(evidence.file)
}

type Test = Extract<Evidence, { kind: 'test' }>

function titleOf ({ file, title }: Test): string {
  return `${file} › ${title}`
}

function measurements (): string[] {
  return ['### Measured', '', ...MEASUREMENTS.map((name, index) => `- M${index + 1}: ${code(name)}`), '']
}

/** The links, once each, at the end, so that a table is narrow. */
function links (): string[] {
  return THEMES.flatMap(({ rows }, theme) => rows.map((row, index) =>
    `[${numberOf(theme + 1, index)}]: #${anchorOf(headingOf(row, theme + 1, index))}`))
}

function sources (): string[] {
  const files = evidences().flatMap(evidence => evidence.kind === 'read' ? [evidence] : evidence.kind === 'missing' ? evidence.files : [])
  return [...new Set(files.map(({ repository, commit, file }) => `[${labelOf({ repository, commit, file })}]: https://github.com/${repository}/blob/${commit}/${file}`))].sort()
}

/** Short, and one for each file. */
function labelOf ({ repository, file }: ReadFile): string {
  return `${repository.slice(repository.indexOf('/') + 1)}/${file.slice(file.lastIndexOf('/') + 1)}`
}

function systems (): string[] {
  return table(['column', 'system', 'version', 'what it is'], SYSTEMS.map(({ head, name, version, kind }) => [head, name, version, kind]))
}

/** Columns line up, so that it is read in a terminal too. */
function table (heads: readonly string[], rows: ReadonlyArray<readonly string[]>): string[] {
  const widths = heads.map((head, column) => Math.max(head.length, 3, ...rows.map(cells => cells[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`
  return [line(heads), `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)]
}

function numberOf (theme: number, index: number): string {
  return `${theme}.${index + 1}`
}

/** As GitHub makes them of headings. */
function anchorOf (heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-')
}

function themeTable ({ title, rows }: Theme, theme: number): string[] {
  const lines = rows.map((row, index) => [`[${numberOf(theme, index)}]`, row.title, ...SYSTEMS.map(({ id }) => row.cells[id].mark)])
  return [`## ${theme}. ${title}`, '', ...table(['', '', ...SYSTEMS.map(({ head }) => head)], lines), '']
}

function headingOf ({ title }: Row, theme: number, index: number): string {
  return `${numberOf(theme, index)} ${title}`
}

function themeEvidence ({ rows }: Theme, theme: number): string[] {
  return rows.flatMap((row, index) => [`### ${headingOf(row, theme, index)}`, '', ...linesOf(row), ''])
}

/** A line for each system, and one for neighbours of which the same is said. */
function linesOf (row: Row): string[] {
  const told: Array<{ heads: string[], text: string }> = []
  for (const { id, head } of SYSTEMS) {
    const text = cellText(row.cells[id])
    const known = told.find(other => other.text === text)
    if (known === undefined) told.push({ heads: [head], text })
    else known.heads.push(head)
  }
  return told.map(({ heads, text }) => `- **${heads.join(', ')}**: ${text}`)
}

function cellText ({ mark, note, evidence }: Cell): string {
  return `${[mark, ...note === '' ? [] : [note]].join(', ')} (${evidence.map(evidenceText).join('; ')})`
}

function evidenceText (evidence: Evidence): string {
  switch (evidence.kind) {
    case 'test': return isMeasurement(evidence) ? `M${MEASUREMENTS.indexOf(titleOf(evidence)) + 1}` : code(titleOf(evidence))
    case 'quote': return `${evidence.file}:${lineOf(evidence.name, evidence.file, evidence.words)} ${quoted(evidence.words)}`
    case 'read': return `[${labelOf(evidence)}] ${quoted(evidence.words)}`
    case 'absent': return `no ${listed(evidence.words)} in its code`
    case 'missing': return `no ${listed(evidence.words)} in ${evidence.files.map(file => `[${labelOf(file)}]`).join(', ')}`
  }
}

/** The first line of what was quoted tells enough. */
function quoted (words: string): string {
  return code(words.split('\n')[0]?.trim() ?? '')
}

function listed (words: readonly string[]): string {
  return words.map(code).join(', ')
}

function code (text: string): string {
  return text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``
}

export function sourceOf (name: string, file: string): string {
  return readFileSync(join(root, 'node_modules', name, file), 'utf8').replaceAll('\r\n', '\n')
}

/** Where the words stand. That they do not is an error: then the package has changed, and somebody has to look again. */
export function lineOf (name: string, file: string, words: string): number {
  const at = sourceOf(name, file).indexOf(words)
  if (at === -1) throw new Error(`${name} ${file} does not have: ${words}`)
  return sourceOf(name, file).slice(0, at).split('\n').length
}

/** The code of a package: neither its tests nor what it is described by. */
export function codeOf (name: string, folder = ''): Array<{ file: string, text: string }> {
  const path = join(root, 'node_modules', name, folder)
  return readdirSync(path, { withFileTypes: true }).flatMap(entry => {
    const file = join(folder, entry.name)
    if (entry.isDirectory()) return ['node_modules', 'test', 'tests', 'examples'].includes(entry.name) ? [] : codeOf(name, file)
    return /\.[cm]?js$/.test(entry.name) ? [{ file, text: sourceOf(name, file) }] : []
  })
}

/** Where words stand that should not. */
export function findingsOf (name: string, words: readonly string[]): string[] {
  return codeOf(name).flatMap(({ file, text }) => words.filter(word => text.toLowerCase().includes(word.toLowerCase())).map(word => `${name} ${file}: ${word}`))
}

const COSTS = `Calls · read units · write units of a visit, from [docs/cost.md](cost.md#beside-other-systems), where it stands what was measured and what was
read, and processor time of a signed-in read and of an anonymous request in µs, from [bench/results.md](../bench/results.md). The session has 2 KB. A session in a cookie
(@fastify/secure-session) takes no call at all; what a store in Redis or SQL takes is not in DynamoDB's units and was not measured.`

/** What visits cost, taken over from where it is measured. */
function costs (): string[] {
  const results = read('bench/results.md')
  const cpu = (section: string): Map<string, string> => {
    const [, text = ''] = results.split(`### ${section}\n`)
    return new Map(rowsIn(text, 'application', 'CPU µs').map(([name = '', micros = '']) => [name, micros]))
  }
  const [reads, strangers] = [cpu('A signed-in read'), cpu('An anonymous request')]
  const rows = rowsIn(read('docs/cost.md'), 'system', 'item', 'anonymous').map(([name = '', , anonymous = '', , signedIn = '', , change = '', , logIn = '', logOut = '', burst = '']) =>
    [name, anonymous, signedIn, change, logIn, logOut, burst, strangers.get(name) ?? '—', reads.get(name) ?? '—'])
  const heads = ['system', 'anonymous', 'read', 'change', 'log-in', 'log-out', '20 reads at once', 'µs anonymous', 'µs read']
  return [`## ${THEMES.length + 1}. Cost of a request`, '', COSTS, '', ...table(heads, rows), '']
}
