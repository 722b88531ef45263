import { inspect } from 'node:util'
import t from 'tap'
import { errors, isDefinite, RETRY_AFTER_SECONDS, safeCause } from '../../lib/errors.js'

t.test('every error has a code of its own and the status that fits', async t => {
  const statuses = Object.fromEntries(Object.entries(errors).map(([name, Failure]) => {
    const error = new (Failure as new () => Error & { code: string, statusCode: number })()
    t.match(error.code, /^FST_DYNAMODB_SESSION_[A-Z_]+$/, name)
    t.equal(error.code.replace('FST_DYNAMODB_SESSION_', '').replaceAll('_', ''), name.toUpperCase())
    t.ok(error instanceof Error)
    t.ok(error instanceof Failure)
    return [name, error.statusCode]
  }))
  const own = Object.entries(statuses).filter(([, status]) => status !== 500)
  t.same(Object.fromEntries(own), { Unavailable: 503, Conflict: 409, Gone: 409, UserFull: 413, TooLarge: 413 })
})

t.test('a message says the fact and the remedy, with the names it is given', async t => {
  t.equal(new errors.BadOption('table', 'is required').message, 'Option "table" is required.')
  t.equal(new errors.UnknownOption('tabel', ' Did you mean "table"?').message, 'Unknown option "tabel". Did you mean "table"?')
  t.equal(new errors.TooLarge(500, 400, '"cart" (450)').message,
    'The session would take 500 bytes and may take 400. Largest keys: "cart" (450). Keep the bulk elsewhere and its key here.')
  t.equal(new errors.Disabled('session', 'session').message,
    'request.session is switched off on this route: take "session: false" out of the route\'s config to use it here.')
  t.equal(new errors.BadKey('must be a text').message, 'A session key must be a text.')
})

t.test('a name with a percent sign is repeated as it is', async t => {
  t.equal(new errors.UnsupportedValue('%s 100%d', 'it holds %j').message, 'The value of session key "%s 100%d" cannot be stored: it holds %j.')
})

t.test('the cause is kept, and is not part of the message', async t => {
  const cause = new Error('socket hang up')
  const error = new errors.Unavailable({ cause })
  t.equal(error.cause, cause)
  t.notMatch(error.message, 'socket')
  t.equal(new errors.TableMissing('sessions', { cause }).cause, cause)
  t.equal(new errors.Gone().cause, undefined)
})

t.test('a client may try again after whole seconds', async t => {
  t.match(RETRY_AFTER_SECONDS, /^[1-9]\d*$/)
})

const ARN = 'arn:aws:sts::123456789012:assumed-role/web/i-0abc'

t.test('a cause without ARN and account is kept itself', async t => {
  const cause = new Error('socket hang up', { cause: new Error('ECONNRESET 1234567890123') })
  t.equal(safeCause(cause), cause)
})

t.test('ARNs and accounts are taken out of a cause; its name, stack and request id stay', async t => {
  const cause = Object.assign(new Error(`User: ${ARN} may not call dynamodb:GetItem on account 123456789012.`), {
    name: 'AccessDeniedException', $metadata: { requestId: 'R1' }, secret: ARN
  })
  const safe = safeCause(cause) as Error & { $metadata: unknown }
  t.equal(safe.message, 'User: arn:[redacted] may not call dynamodb:GetItem on account [redacted].')
  t.equal(safe.name, 'AccessDeniedException')
  t.match(safe.stack, 'errors.test.ts', 'the place where it was thrown')
  t.notMatch(safe.stack, /123456789012|assumed-role/)
  t.same(safe.$metadata, { requestId: 'R1' })
  t.notOk('secret' in safe, 'members that nobody knows stay behind')
  t.match(cause.message, ARN, 'the original is not changed')
})

t.test('a cause without a stack, or that is no error, is kept as one', async t => {
  const bare = new Error(ARN)
  delete bare.stack
  t.equal(safeCause(bare).stack, 'Error: arn:[redacted]')
  t.equal(safeCause(`refused to ${ARN}`).message, 'refused to arn:[redacted]')
  t.equal(safeCause(undefined).message, 'undefined')
  t.equal(safeCause(Object.create(null)).message, 'No error was thrown, but an object.')
})

t.test('of a stack the frames are kept only: its first lines may be another text than the message is by now', async t => {
  const cause = new SyntaxError('Unexpected token in {"S":"pin-7319"}\n    in line 2')
  t.match(cause.stack, 'pin-7319')
  cause.message += ` (${ARN})`
  cause.name = `Failure of ${ARN}`
  const { name, stack } = safeCause(cause)
  t.equal(name, 'Failure of arn:[redacted]')
  t.match(stack, /^Failure of arn:\[redacted\]: An answer cannot be parsed\.\n {4}at .*errors\.test\.ts/)
  t.notMatch(stack, /pin-7319|123456789012/)
  const plain = new Error(`User: ${ARN}`)
  t.match(plain.stack, ARN)
  plain.message = 'denied'
  t.match(safeCause(plain).stack, /^Error: denied\n {4}at /)
  t.equal(safeCause(Object.assign(new Error('denied'), { name: ARN })).name, 'arn:[redacted]')
})

t.test('causes of causes are made safe too, because logs show the whole chain', async t => {
  const safe = safeCause(new Error('no credentials', { cause: new Error('second', { cause: `denied to ${ARN}` }) }))
  t.equal(safe.message, 'no credentials')
  const second = safe.cause as Error
  t.equal(second.message, 'second')
  t.equal((second.cause as Error).message, 'denied to arn:[redacted]')
})

t.test('a chain of causes that leads back to its beginning comes to an end', async t => {
  const first = new Error(`first ${ARN}`)
  first.cause = new Error('second', { cause: first })
  const messages: string[] = []
  for (let link: unknown = safeCause(first); link instanceof Error; link = link.cause) messages.push(link.message)
  t.equal(messages.length, 10)
  t.same([...new Set(messages)], ['first arn:[redacted]', 'second'])
})

t.test('failures that trying again would not mend are told from those that it may', async t => {
  const failures = [new errors.Gone(), new errors.Conflict(), new errors.TooLarge(2, 1, ''), new errors.UnsupportedValue('k', 'it is'), new errors.Unreadable('it is')]
  for (const error of failures) t.equal(isDefinite(error), true, error.code)
  for (const error of [new errors.Unavailable(), new Error('any'), undefined, 'text']) t.equal(isDefinite(error), false)
})

t.test('a cause keeps nothing of what the SDK hangs to it: items, answers, and what could not be parsed', async t => {
  const refused = Object.assign(new Error('The conditional request failed'), {
    name: 'TransactionCanceledException', code: 'X', $metadata: { requestId: 'r-1' }, Item: { data: { S: 'pin-7' } }, $response: { body: 'pin-7' }
  })
  const kept = safeCause(new Error('outer', { cause: refused }))
  t.notMatch(inspect(kept, { depth: null, showHidden: true }), 'pin-7')
  t.match(kept.cause, { name: 'TransactionCanceledException', message: 'The conditional request failed', code: 'X', $metadata: { requestId: 'r-1' } })
  const quoting = safeCause(new SyntaxError('Unexpected token p in JSON at {"S":"pin-7'))
  t.notMatch(inspect(quoting), 'pin-7')
  t.equal(quoting.name, 'SyntaxError')
  const plain = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', errno: -111, syscall: 'connect' })
  t.equal(safeCause(plain), plain, 'what says nothing is kept as it is')
})
