import type { Given } from './arguments.js'
import { OUTPUT_FLAGS, type Command, type Context } from './command.js'
import type { Bill, Provisioned } from './bill.js'
import { dollars, EXAMPLE, rounded, theirBill } from './example.js'
import { FINE, misuse } from './fault.js'
import { columns, count } from './output.js'
import { OLD_DAYS, readPrices, type PriceLists } from './pricelist.js'
import { reckon, type Month, type Row } from './reckon.js'
import { NAME } from './systems.js'

const DAY = 86_400_000

export const cost: Command = {
  name: 'cost',
  summary: 'Reckons calls, capacity and money of a month, beside other systems.',
  about: [
    'Requests of visitors who are logged in; anonymous ones cost nothing here. Each system goes by its own calls, which tests hold, and',
    'by its own renewals; "provisioned" is the least that can be paid, for capacity that is used evenly and wholly.',
    '--example is the worked example in the README of @pwrdrvr/dynamodb-session-store, which other options change.',
    'It makes no call. docs/cost.md says more.'
  ],
  positionals: [],
  flags: {
    requests: { type: 'string', value: 'number', help: 'In a month. Required, or the next, or --example.' },
    'requests-per-minute': { type: 'string', value: 'number', help: 'The same, in a month of 720 hours.' },
    size: { type: 'string', value: 'bytes', help: 'Of a session\'s data, as JSON.', otherwise: '2048' },
    users: { type: 'string', value: 'number', help: 'Sessions that are stored, on average.', otherwise: '0' },
    logins: { type: 'string', value: 'number', help: 'New sessions in a month.', otherwise: 'as many as users' },
    changes: { type: 'string', value: 'number', help: 'Requests that change data, in a month.', otherwise: '0' },
    pace: { type: 'string', value: 'seconds', help: 'Between two requests of a visitor who is there, on which renewals depend.', otherwise: '10; with --example none, and no renewals' },
    'reissue-time': { type: 'string', value: 'seconds', help: 'The plugin\'s "reissueTime".', otherwise: '720' },
    prices: { type: 'string', value: 'path', help: 'A price list as JSON, with its date.', otherwise: 'us-east-1 since 2024-11-01' },
    example: { type: 'boolean', help: 'The worked example, and how its authors reckon it.' },
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const { given, output, io } = context
    const month = monthOf(given)
    const prices = readPrices(given.text('prices'))
    const rows = reckon(month, prices.onDemand, prices.provisioned)
    if (io.now() - Date.parse(prices.checked) > OLD_DAYS * DAY) output.warn(`The price list was last looked at on ${prices.checked}. Look whether it still holds; --prices takes another.`)
    if (given.has('json')) output.printJson(documentOf(month, prices, rows, given.has('example')))
    else tell(context, month, prices, rows)
    return FINE
  }
}

function monthOf (given: Given): Month {
  const isExample = given.has('example')
  const users = given.number('users') ?? (isExample ? EXAMPLE.sessions : 0)
  const month = {
    requests: requestsOf(given, isExample),
    size: given.number('size', { least: 1, most: 400_000 }) ?? 2048,
    users,
    logins: given.number('logins') ?? (isExample ? EXAMPLE.newAMonth : users),
    changes: given.number('changes') ?? (isExample ? EXAMPLE.updatesAMonth : 0),
    pace: given.number('pace', { least: 0.001 }) ?? (isExample ? undefined : 10),
    reissueTime: given.number('reissue-time') ?? 720
  }
  if (month.logins + month.changes > month.requests) throw misuse('There are more log-ins and changes than requests. Give --requests, or fewer --logins (as many as --users unless given) and --changes.')
  return month
}

function requestsOf (given: Given, isExample: boolean): number {
  const requests = given.number('requests')
  const perMinute = given.number('requests-per-minute')
  if (requests !== undefined && perMinute !== undefined) throw misuse('Options "--requests" and "--requests-per-minute" are two ways to say the same: give one.')
  if (requests === undefined && perMinute === undefined && !isExample) throw misuse('Give --requests, --requests-per-minute or --example.')
  return requests ?? (perMinute ?? EXAMPLE.requestsAMinute) * 60 * EXAMPLE.hoursOfMonth
}

function labelOf ({ system: { name, setting } }: Row): string {
  return setting === '' ? name : `${name}, ${setting.replaceAll('`', '')}`
}

function documentOf (month: Month, prices: PriceLists, rows: readonly Row[], isExample: boolean): object {
  return {
    month: { ...month, pace: month.pace ?? null },
    prices,
    ...isExample && { asItsAuthorsReckon: { ...theirs(month, prices.provisioned), rounded: rounded(theirs(month, prices.provisioned)) } },
    systems: rows.map(row => ({
      system: labelOf(row),
      isOurs: row.system.name === NAME,
      itemBytes: row.system.bytes,
      calls: row.usage.calls,
      readUnits: row.usage.read,
      writeUnits: row.usage.write,
      storedBytes: row.usage.stored,
      onDemand: row.onDemand,
      provisioned: row.provisioned
    }))
  }
}

function tell ({ given, output }: Context, month: Month, prices: PriceLists, rows: readonly Row[]): void {
  output.print(`A month: ${count(month.requests, 'request')}, of which ${count(month.changes, 'change')} and ${count(month.logins, 'log-in')}; ${count(month.users, 'stored session')} of ${count(month.size, 'byte')} of JSON;`)
  output.print(`  ${month.pace === undefined ? 'renewals left out where they are not part of each request' : `a request every ${month.pace} s, renewed every ${month.reissueTime} s here`}.`)
  if (given.has('example')) for (const line of theirLines(month, prices)) output.print(line)
  output.print(`By the price list of ${prices.onDemand.date} (${prices.onDemand.region}), calls and units in millions:`)
  output.print('')
  const head = ['system', 'calls', 'read units', 'write units', 'on demand', 'provisioned']
  const cells = rows.map(row => [
    labelOf(row), ...[row.usage.calls, row.usage.read, row.usage.write].map(millions), dollars(row.onDemand.total), dollars(row.provisioned.total)
  ])
  const [first = '', ...lines] = columns([head, ...cells], ['left', 'right', 'right', 'right', 'right', 'right'])
  output.print(output.colour('bold', first))
  for (const [index, line] of lines.entries()) output.print(rows[index]?.system.name === NAME ? output.colour('green', line) : line)
}

/** In their way: whole kilobytes, and writes that are set aside, whatever is written. */
function theirs ({ requests, users, size }: Month, provisioned: Provisioned): Bill {
  const requestsAMinute = requests / 60 / EXAMPLE.hoursOfMonth
  return theirBill(provisioned, { requestsAMinute, sessions: users, kilobytes: Math.round(size / 1024), setAside: EXAMPLE.setAside })
}

/** What its README says, from its own inputs. */
function theirLines (month: Month, { provisioned }: PriceLists): string[] {
  const bill = theirs(month, provisioned)
  const { reads, writes, storage, total } = bill
  return [
    'As the README of @pwrdrvr/dynamodb-session-store reckons it, provisioned:',
    `  reads $${reads.toFixed(2)}, writes $${writes.toFixed(2)}, storage $${storage.toFixed(2)}: $${total.toFixed(2)}; with each part rounded as there, about $${rounded(bill).total}`
  ]
}

function millions (amount: number): string {
  return (amount / 1e6).toLocaleString('en-US', { maximumFractionDigits: amount < 1e7 ? 2 : 0 })
}
