import t from 'tap'
import { createNotice, createProcessLog, type Log } from '../../lib/report.js'

/** A log that keeps its lines. */
function createLog (): Log & { lines: Array<readonly [Record<string, unknown>, string]> } {
  const lines: Array<readonly [Record<string, unknown>, string]> = []
  return { lines, warn: (details, message) => { lines.push([details, message]) } }
}

t.test('a process is warned once of each text, with a code and without details', async t => {
  const warnings = t.capture(process, 'emitWarning', () => {})
  const log = createProcessLog()
  log.warn({ loggableId: 'one' }, 'A record is a ghost')
  log.warn({ loggableId: 'two' }, 'A record is a ghost')
  log.warn({}, 'Something else')
  createProcessLog().warn({}, 'Something else')
  t.strictSame(warnings().map(({ args }) => args), [
    ['A record is a ghost', { code: 'FST_DYNAMODB_SESSION' }],
    ['Something else', { code: 'FST_DYNAMODB_SESSION' }],
    ['Something else', { code: 'FST_DYNAMODB_SESSION' }]
  ])
})

t.test('what means something in numbers is told of at once, then at most once a minute with its count', async t => {
  let ms = Date.UTC(2026, 0, 2)
  const log = createLog()
  const notice = createNotice(() => ms, 'Tokens came in for which there is no session')
  notice(log, 'first')
  t.strictSame(log.lines.splice(0), [[{ loggableId: 'first', count: 1 }, 'Tokens came in for which there is no session']])
  for (let index = 0; index < 500; index++) notice(log, 'many')
  ms += 59_999
  notice(log, 'before the minute is over')
  t.strictSame(log.lines, [])
  ms += 1
  notice(log, 'after a minute')
  t.strictSame(log.lines.splice(0).map(([details]) => details), [{ loggableId: 'after a minute', count: 502 }])
  ms += 60_000
  notice(log, 'alone')
  t.strictSame(log.lines.map(([details]) => details), [{ loggableId: 'alone', count: 1 }], 'the count begins anew')
})

t.test('each notice counts for itself', async t => {
  const log = createLog()
  createNotice(() => 0, 'Many')(log, 'a')
  createNotice(() => 0, 'Many')(log, 'b')
  t.strictSame(log.lines.map(([details]) => details), [{ loggableId: 'a', count: 1 }, { loggableId: 'b', count: 1 }])
})

t.test('what concerns no session is counted without one', async t => {
  const log = createLog()
  createNotice(() => 0, 'Many')(log)
  t.strictSame(log.lines, [[{ count: 1 }, 'Many']])
})

t.test('a clock that is set back silences no notice for longer than a minute', async t => {
  let ms = Date.UTC(2026, 0, 2)
  const log = createLog()
  const notice = createNotice(() => ms, 'Many')
  notice(log, 'before')
  ms -= 86_400_000
  notice(log, 'a day earlier')
  notice(log, 'in the same minute')
  ms += 60_000
  notice(log, 'a minute later')
  t.strictSame(log.lines.map(([details]) => details), [
    { loggableId: 'before', count: 1 }, { loggableId: 'a day earlier', count: 1 }, { loggableId: 'a minute later', count: 2 }
  ])
})
