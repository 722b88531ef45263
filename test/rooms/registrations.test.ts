import t from 'tap'
import { SessionManager } from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import { noteRegistration, registrationsOn } from '../../lib/registrations.js'
import { memoryRepository } from '../../testing/index.js'

t.test('a server knows its registrations in their order, and nothing of other servers or before the first', async t => {
  const [server, other] = [{}, {}]
  t.same(registrationsOn(server), [])
  const noted = ['session', 'admin'].map(sessionName => {
    const options = { table: 'sessions', client: memoryRepository(), sessionName }
    const registration = { settings: resolveOptions(options), manager: new SessionManager(options) }
    noteRegistration(server, registration)
    return registration
  })
  t.equal(registrationsOn(server).length, 2)
  for (const [index, registration] of noted.entries()) t.equal(registrationsOn(server)[index], registration)
  t.same(registrationsOn(other), [])
})

t.test('nothing of it shows on a server, so that its secrets are not printed or copied', async t => {
  const server = {}
  noteRegistration(server, { settings: resolveOptions('sessions'), manager: new SessionManager({ table: 'sessions', client: memoryRepository() }) })
  t.same(Reflect.ownKeys(server), [])
  t.same(registrationsOn({ ...server }), [])
})
