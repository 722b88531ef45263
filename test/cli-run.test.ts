import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import t from 'tap'
import { readArguments } from '../cli/arguments.js'
import { OUTPUT_FLAGS, TABLE_FLAGS } from '../cli/command.js'
import { CommandFault } from '../cli/fault.js'
import { bytesText, columns, count, instantText, Output, quote } from '../cli/output.js'
import { COMMANDS, run } from '../cli/run.js'
import { hash } from '../lib/token.js'
import { at, command, engineOf } from './support/cli.js'
import { read, root } from './support/documents.js'
import { clientConfig, createTable } from './support/engines.js'

const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' }

/** The command line as a process of its own, compiled as the tests are. */
function start (argv: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, ['--no-warnings', ...process.execArgv, join(root, 'cli/main.ts'), ...argv], { cwd: root, env: { ...process.env, ...CREDENTIALS, ...env } })
}

async function ended (child: ChildProcessWithoutNullStreams) {
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close') as Promise<[number]>])
  return { code, out, err }
}

t.test('without a command it says what there is, and fails', async t => {
  const { code, out, err } = await command([])
  t.same([code, out], [2, ''])
  for (const { name, summary } of COMMANDS) t.ok(err.includes(name) && err.includes(summary), name)
  for (const argv of [['help'], ['--help'], ['-h']]) t.same(await command(argv).then(({ code, out }) => [code, out]), [0, err])
})

t.test('every command has help that names each of its options, and says what exit codes mean', async t => {
  for (const { name, flags, positionals, about } of COMMANDS) {
    const { code, out } = await command([name, '--help'])
    t.equal(code, 0, name)
    for (const flag of Object.keys(flags)) t.match(out, new RegExp(`^ {2}--${flag}( |$)`, 'm'), `${name} --${flag}`)
    for (const positional of positionals) t.match(out, `<${positional}>`)
    t.match(out, 'Exit codes: 0 fine; 1 a fault')
    t.ok(about.every(line => line.length <= 130) && out.split('\n').every(line => line.length <= 160), `${name} is not too wide`)
    for (const argv of [['help', name], [name, '-h']]) t.equal((await command(argv)).out, out)
    t.ok(Object.keys(OUTPUT_FLAGS).every(flag => flag in flags), `${name} has the options of all`)
  }
})

t.test('what speaks to DynamoDB takes the settings of the service, and no secret', async t => {
  for (const name of ['create-table', 'doctor', 'show', 'revoke', 'purge', 'import']) {
    const found = COMMANDS.find(command => command.name === name)
    t.ok(Object.keys(TABLE_FLAGS).every(flag => flag in (found?.flags ?? {})), name)
  }
  for (const { flags } of COMMANDS) t.notMatch(Object.keys(flags).join(' '), /secret|password|access-key|credential|keys(?!-(env|file))/)
})

t.test('what is not known is refused with the nearest name, and values are not repeated', async t => {
  for (const [argv, err] of [
    [['doctr'], 'Unknown command. Did you mean "doctor"?'],
    [['xyzzy'], `Unknown command. Known are ${COMMANDS.map(({ name }) => name).join(', ')}.`],
    [['help', 'purg'], 'Unknown command. Did you mean "purge"?'],
    [['doctor', '--tabel', 'x'], 'Unknown option. Did you mean "--table"?'],
    [['doctor', '--tabel=hunter2'], 'Unknown option. Did you mean "--table"?'],
    [['doctor', '-t', 'x'], 'Unknown option. Known are'],
    [['doctor', '--table', 'a', '--table', 'b'], 'Option "--table" is given twice.'],
    [['doctor', '--table'], 'Option "--table" needs a value.'],
    [['doctor', '--table='], 'Option "--table" needs a value.'],
    [['doctor', '--table', '--strict'], 'Option "--table" needs a value.'],
    [['doctor', '--json=hunter2'], 'Option "--json" takes no value.'],
    [['doctor', '--table', 'abc', 'hunter2'], 'There is nothing to be given beside options, and something more was.'],
    [['show', 'A'.repeat(43), 'hunter2', '--table', 'abc'], 'There is only <loggable id> to be given beside options'],
    [['doctor'], 'Option "--table" is required.'],
    [['doctor', '--table', 'x'], 'Option "--table" must be the name or the ARN of a table'],
    [['doctor', '--table', 'abc', '--ttl-attribute', 'data'], 'Option "--ttl-attribute" is the name of an attribute'],
    [['doctor', '--table', 'abc', '--prefix', 'x', '--key-type', 'B'], 'Option "--prefix" goes with a partition key of type S only.'],
    [['doctor', '--table', 'abc', '--key-type', 'N'], 'Option "--key-type" must be one of S, B.'],
    [['doctor', '--table', 'abc', '--timeout', '0'], 'Option "--timeout" must be a number from 0.1 to 900.'],
    [['doctor', '--table', 'abc', '--endpoint', 'http://me:hunter2@host'], 'Option "--endpoint" must be a URL'],
    [['doctor', '--table', 'abc', '--endpoint', 'localhost:8000'], 'Option "--endpoint" must be a URL'],
    [['doctor', '--table', 'abc', '--endpoint', 'http://127.0.0.1:99999'], 'Option "--endpoint" must be a URL'],
    [['doctor', '--table', 'abc', '--endpoint', 'http://%'], 'Option "--endpoint" must be a URL']
  ] as const) {
    const told = await command(argv)
    t.same([told.code, told.out], [2, ''], argv.join(' '))
    t.ok(told.err.startsWith(`error: ${err}`), told.err)
    t.notMatch(told.err, 'hunter2')
    t.equal(told.err.trimEnd().split('\n').length, 1, 'in one line')
  }
})

t.test('a loggable id that begins as an option does is one all the same', async t => {
  for (const id of ['-'.padEnd(43, 'A'), '--'.padEnd(43, 'b-_7')]) {
    for (const args of [[id, '--json'], ['--json', id], ['--json', '--', id], ['--table', 'sessions', id, '--json']]) {
      const given = readArguments(args, { json: { type: 'boolean', help: '' }, table: { type: 'string', help: '' } }, ['loggable id'])
      t.same([given.positionals, given.has('json')], [[id], true])
    }
    t.throws(() => readArguments([id], { json: { type: 'boolean', help: '' } }), /^Unknown option/, 'where none is wanted, it is an option')
    t.equal(readArguments(['--table', id.replace('--', '-x'), 'x'], { table: { type: 'string', help: '' } }, ['name']).text('table'), id.replace('--', '-x'), 'after an option it is its value')
    t.throws(() => readArguments([id, id], {}, ['loggable id']), /only <loggable id>/)
  }
})

t.test('what every object has is no option', async t => {
  for (const name of ['toString', 'constructor', '__proto__']) {
    for (const argv of [[`--${name}`], [`--${name}=hunter2`]]) {
      t.match(await command(['cost', ...argv]), { code: 2, out: '', err: /^error: Unknown option\. Known are --requests/ }, name)
    }
  }
})

t.test('with --json an error is a document of its own, on the other stream', async t => {
  const { code, out, err } = await command(['doctr', '--json'])
  t.same([code, out], [2, ''])
  t.same(JSON.parse(err), { error: { code: 'FST_DYNAMODB_SESSION_USAGE', message: 'Unknown command. Did you mean "doctor"?' } })
})

t.test('errors are red on a terminal, unless told otherwise', async t => {
  t.match((await command(['doctr'], { columns: 80 })).err, '\u001b[31merror:\u001b[39m')
  t.notMatch((await command(['doctr'], { columns: 80, env: { NO_COLOR: '1' } })).err, '\u001b')
  t.match((await command(['doctr'], { columns: 80, env: { NO_COLOR: '' } })).err, '\u001b', 'which says nothing when it is empty')
  t.notMatch((await command(['doctr'])).err, '\u001b')
})

t.test('a fault of the program itself is one line, too', async t => {
  const write = (): never => { throw new TypeError('of arn:aws:x 123456789012') }
  let said = ''
  const code = await run(['--version'], {
    out: { write }, err: { write: text => { said += text } }, env: {}, now: Date.now, sleep: async () => {}, aws: {}, stop: () => new AbortController().signal
  })
  t.same([code, said], [1, 'error: This should not happen. of arn:[redacted] [redacted]\n'])
})

t.test('a fault has an exit code, and a cause where there is one', async t => {
  const cause = new Error('x')
  t.match(new CommandFault('X', 'y', { cause }), { code: 'X', exitCode: 1, cause })
  t.notOk('cause' in new CommandFault('X', 'y'))
})

t.test('text of unknown origin is quoted, columns line up, and amounts are read by people', async t => {
  t.equal(quote('a"\n\u001b[0m\u009b\u200b\u2028é'), '"a\\"\\n\\u001b[0m\\u009b\\u200b\\u2028é"')
  t.equal(quote('\u{e0001}'), '"\\udb40\\udc01"', 'tags of languages are unseen, too')
  t.same(columns([['a', '1'], ['bbb', '22'], ['c']], ['left', 'right']), ['a     1', 'bbb  22', 'c'])
  t.same(columns([['\u001b[31ma\u001b[39m', 'x'], ['bb', 'y']], ['left', 'left']), ['\u001b[31ma\u001b[39m   x', 'bb  y'])
  t.same([bytesText(1023), bytesText(1536)], ['1023 bytes', '1.5 KB'])
  t.same([instantText(0), instantText(1.5), instantText(1e15)], ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1000000000000000'])
  t.same([count(1, 'key'), count(2, 'key'), count(1000, 'box', 'boxes')], ['1 key', '2 keys', '1,000 boxes'])
  t.ok(new Output({ write: () => {} }, { write: () => {} }, true).err)
})

t.test('the program prints its version', async t => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  t.same(await ended(start(['--version'])), { code: 0, out: `${version}\n`, err: '' })
})

t.test('the program goes by the environment, answers with an exit code, and ends by itself', async t => {
  const { engine, proxy } = await engineOf(t)
  const table = await createTable(engine)
  const env = { AWS_ENDPOINT_URL_DYNAMODB: proxy.endpoint, AWS_REGION: 'eu-central-1' }
  const healthy = await ended(start(['doctor', '--table', table, '--json'], env))
  t.equal(healthy.code, 1, 'this engine has no TTL')
  t.equal(JSON.parse(healthy.out).faults, 1)
  const wrong = await ended(start(['doctr'], env))
  t.same(wrong, { code: 2, out: '', err: 'error: Unknown command. Did you mean "doctor"?\n' })
})

t.test('interrupted, the program ends what it has begun, keeps where it was and goes on from there', async t => {
  const { engine, proxy } = await engineOf(t)
  const table = await createTable(engine)
  const client = new DynamoDBClient(clientConfig(engine.endpoint))
  await Promise.all(Array.from({ length: 402 }, async (_, index) => await client.send(new PutItemCommand({
    TableName: table, Item: { id: { S: hash(String(index)) }, expires: { N: '1000' } }
  }))))
  client.destroy()
  const state = join(t.testdir(), 'state.json')
  const argv = ['purge', ...at(proxy, table), '--state', state, '--rate', '1000000', '--json']
  const gate = proxy.gate({ action: 'DeleteItem', letBy: 200 })
  const child = start(argv)
  const end = ended(child)
  await gate.reached
  child.kill('SIGINT')
  gate.release()
  const { code, out, err } = await end
  t.equal(code, 1)
  const { done, deleted } = JSON.parse(out) as { done: boolean, deleted: number }
  t.equal(done, false)
  t.ok(deleted > 200 && deleted <= 400, `${deleted} deleted`)
  t.match(err, /^error: Stopped before the end\./)
  t.match(readFileSync(state, 'utf8'), table)
  const resumed = await ended(start(argv))
  t.match([resumed.code, JSON.parse(resumed.out)], [0, { done: true, read: 402 - deleted, deleted: 402 - deleted }], 'after the page that was done')
  t.notOk(existsSync(state))
})

t.test('a reader who has had enough is no reason for a stack trace', async t => {
  const child = start(['template', '--sam', '--table', 'sessions'])
  child.stdout.destroy()
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit') as Promise<[number]>])
  t.equal(err, '')
  t.equal(code, 1)
})
