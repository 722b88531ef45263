import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { billOf, usageOf } from '../../cli/bill.js'
import { asGiven, atPace, dollars } from '../../cli/example.js'
import { ON_DEMAND, PROVISIONED } from '../../cli/prices.js'
import { reckon, type Month } from '../../cli/reckon.js'
import { labelOf, NAME, OURS, SYSTEMS } from '../../cli/systems.js'
import { command } from '../support/cli.js'
import { read, rowsIn } from '../support/documents.js'

const MONTH: Month = { requests: 1_000_000, size: 2048, users: 1000, logins: 2000, changes: 10_000, pace: 10, reissueTime: 720 }
/** A day on which the built-in prices have just been looked at. */
const TODAY = { now: () => Date.parse('2026-10-01') }

const cost = async (...args: string[]) => await command(['cost', ...args], TODAY)

t.test('the worked example comes to what its README says, from its inputs, and ours stands beside it', async t => {
  const { code, out, err } = await cost('--example')
  t.same([code, err], [0, ''])
  t.match(out, '4,320,000,000 requests, of which 2,000,000 changes and 1,000,000 log-ins; 8,000,000 stored sessions')
  t.match(out, 'reads $79.56, writes $46.80, storage $4.00: $130.36; with each part rounded as there, about $134')
  t.match(out, /^fastify-dynamodb-session +4,322 +2,160 +9 +\$280 +\$84$/m)
  t.match(out, /^@fastify\/session, connect-dynamodb +8,641 +4,319 +12,962 +\$8,646 +\$2,501$/m)
})

t.test('docs/cost.md has the same figures, as given and at a request every ten seconds', async t => {
  for (const [args, heading] of [[[], 'system, traffic as given'], [['--pace', '10'], 'system, a request every 10 s']] as const) {
    const { json } = await cost('--example', '--json', ...args)
    const found = json.systems.map((row: any) => [row.system, dollars(row.onDemand.total), dollars(row.provisioned.total)])
    const page = rowsIn(read('docs/cost.md'), heading).filter(([label]) => label !== `${NAME}, \`reissueTime: 3600\``)
    t.same(found, page.map(([label = '', , , , , , onDemand, provisioned]) => [label.replaceAll('`', ''), onDemand, provisioned]), heading)
  }
})

t.test('the reissue time is ours, and others keep their own', async t => {
  const hourly = await cost('--example', '--pace', '10', '--reissue-time', '3600', '--json')
  const usual = await cost('--example', '--pace', '10', '--json')
  const total = ({ json }: { json: any }, index: number): string => dollars(json.systems[index].onDemand.total)
  t.same([total(usual, 0), total(hourly, 0)], ['$392', '$303'])
  for (const [index, { system }] of usual.json.systems.entries()) {
    if (!system.startsWith(NAME)) t.equal(total(hourly, index), total(usual, index), system)
  }
  t.equal(total(hourly, 2), total(usual, 2), 'what the companion tracks costs no renewal at any reissue time')
})

t.test('rows are the arithmetic of the bill with the systems as they were measured', async t => {
  const rows = reckon(MONTH, ON_DEMAND, PROVISIONED)
  t.same(rows.map(({ system }) => labelOf(system)), SYSTEMS.map(labelOf))
  t.same(rows.map(({ system }) => system.bytes), SYSTEMS.map(({ bytes }) => bytes), 'at the size that was measured')
  const [ours] = rows
  const reads = 1_000_000 - 12_000
  t.same(ours?.usage, usageOf(OURS.visits, OURS.bytes, { visits: { read: reads - reads / 72, renewal: reads / 72, change: 10_000, first: 2000 }, sessions: 1000 }))
  t.same(ours?.onDemand, billOf(ours?.usage ?? t.fail('no row') as never, ON_DEMAND))
  const bytes = (size: number): number[] => reckon({ ...MONTH, size }, ON_DEMAND, PROVISIONED).slice(0, 2).map(({ system }) => system.bytes)
  t.same(bytes(10_048), [OURS.bytes + 8000, Math.round(10_048 * 1918 / 2048)], 'what is beside the data stays, and what is shorter is so by a share')
  t.ok(bytes(1).every(bytes => bytes > 0))
})

t.test('the example of the page is the example of the command', async t => {
  const [ours] = reckon({ requests: 4_320_000_000, size: 2048, users: 8_000_000, logins: 1_000_000, changes: 2_000_000, pace: undefined, reissueTime: 720 }, ON_DEMAND, PROVISIONED)
  t.same(ours?.usage, asGiven(OURS))
  const [paced] = reckon({ requests: 4_320_000_000, size: 2048, users: 8_000_000, logins: 1_000_000, changes: 2_000_000, pace: 10, reissueTime: 720 }, ON_DEMAND, PROVISIONED)
  t.same(paced?.usage, atPace(10, OURS))
})

t.test('inputs have defaults, and every one of them is told', async t => {
  const { json } = await cost('--requests', '1e6', '--users', '500', '--json')
  t.same(json.month, { requests: 1_000_000, size: 2048, users: 500, logins: 500, changes: 0, pace: 10, reissueTime: 720 })
  t.equal((await cost('--requests-per-minute', '100', '--json')).json.month.requests, 100 * 60 * 720)
  t.equal((await cost('--example', '--json')).json.month.pace, null)
  const { out } = await cost('--requests', '1000000', '--users', '1', '--changes', '1', '--pace', '2.5', '--reissue-time', '60', '--size', '1')
  t.match(out, /^A month: 1,000,000 requests, of which 1 change and 1 log-in; 1 stored session of 1 byte of JSON;\n {2}a request every 2\.5 s, renewed every 60 s here\.$/m)
})

t.test('the example changes with what is given beside it', async t => {
  const { json } = await cost('--example', '--requests-per-minute', '50000', '--users', '1000000', '--size', '4096', '--json')
  t.same(json.asItsAuthorsReckon.reads.toFixed(2), (900 * 0.5 * 0.00013 * 720).toFixed(2), 'rounded up to hundreds a second')
  t.equal(json.asItsAuthorsReckon.storage, 1)
  t.equal((await cost('--requests', '1000', '--json')).json.asItsAuthorsReckon, undefined)
})

t.test('a price list has a date and is taken from a file', async t => {
  const path = join(t.testdir(), 'prices.json')
  const list = { region: 'eu-central-1', date: '2026-09-30', storage: 0.306, onDemand: { read: 0.1525, write: 0.7625 }, provisioned: { read: 0.0001586, write: 0.000793 } }
  const write = (value: unknown): string => {
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value))
    return path
  }
  const { json, err } = await cost('--example', '--prices', write(list), '--json')
  t.equal(err, '')
  t.match(json.prices, { checked: '2026-09-30', onDemand: { ...list.onDemand, mode: 'on demand', storage: 0.306 }, provisioned: { ...list.provisioned, hoursOfMonth: 720 } })
  t.equal(dollars(json.systems[0].onDemand.total), dollars(billOf(asGiven(OURS), { ...ON_DEMAND, ...list.onDemand, storage: 0.306 }).total))
  t.match((await cost('--example', '--prices', write({ ...list, date: '2025-09-01' }))).err, /^warning: The price list was last looked at on 2025-09-01\./)
  t.match((await cost('--example', '--prices', path)).out, 'By the price list of 2025-09-01 (eu-central-1)')
  for (const [bad, fact] of [
    ['{', 'is no JSON object'], [JSON.stringify({ ...list, storage: 1.5 }).replace('1.5', '1e999'), 'has no number in "storage"'], ['[]', 'is no JSON object'], [{ ...list, region: '' }, 'has no "region"'], [{ ...list, date: 'today' }, 'has no "date"'],
    [{ ...list, date: '2026-13-01' }, 'has no "date"'], [{ ...list, storage: -1 }, 'has no number in "storage"'], [{ ...list, onDemand: {} }, 'has no number in "onDemand.read"'],
    [{ ...list, provisioned: undefined }, 'has no number in "provisioned.read"'], [{ ...list, onDemand: null }, 'has no number in "onDemand.read"']
  ] as const) {
    const { code, err } = await cost('--example', '--prices', write(bad))
    t.equal(code, 1)
    t.ok(err.startsWith(`error: The price list ${fact}`) && err.includes('. It looks like this'), err)
    t.same(JSON.parse(err.slice(err.indexOf('{'))).onDemand, { read: 0.125, write: 0.625 }, 'with one that could be taken')
  }
  t.match(await cost('--example', '--prices', join(t.testdir(), 'nowhere')), { code: 1, err: /The file of --prices cannot be read/ })
  t.match((await command(['cost', '--example'], { now: () => Date.parse('2027-10-01') })).err, /^warning: The price list was last looked at on 2026-09-01/)
})

t.test('inputs that cannot be are refused', async t => {
  for (const [args, err] of [
    [[], /Give --requests, --requests-per-minute or --example/],
    [['--requests', '1', '--requests-per-minute', '1'], /two ways to say the same/],
    [['--requests', 'many'], /"--requests" must be a number from 0/],
    [['--requests', '-5'], /"--requests" must be a number/],
    [['--requests', '1000', '--users', '800', '--changes', '300'], /more log-ins and changes than requests/],
    [['--example', '--size', '0'], /"--size" must be a number from 1 to 400,000/],
    [['--example', '--pace', '0'], /"--pace" must be a number from 0.001/]
  ] as const) t.match(await cost(...args), { code: 2, out: '', err })
})
