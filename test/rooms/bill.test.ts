import t from 'tap'
import {
  billOf, billOfCapacity, readsPerWrite, requestsPerRenewal, unitsOf, unitsOfRead, unitsOfWrite, usageOf, withRenewals, type Visits
} from '../../cli/bill.js'
import { asGiven, atPace, billCells, dollars, theirBill } from '../../cli/example.js'
import { ON_DEMAND, PROVISIONED } from '../../cli/prices.js'
import { labelOf, OURS, SYSTEMS, type System } from '../../cli/systems.js'

const VISITS: Visits = {
  anonymous: [],
  forged: ['vain read', 'strong vain read'],
  read: ['read'],
  renewal: ['read', 'write'],
  change: ['strong read', 'write'],
  first: ['write'],
  login: ['read', 'write', 'small write'],
  logout: ['read', 'write'],
  burst: ['read', 'read']
}

t.test('a read takes a unit for each 4 KB, a write for each KB, and the least is one', async t => {
  t.same([0, 1, 4096, 4097, 409_600].map(unitsOfRead), [1, 1, 1, 2, 100])
  t.same([0, 1, 1024, 1025, 409_600].map(unitsOfWrite), [1, 1, 1, 2, 400])
})

t.test('a visit takes what its calls take, by the whole item, and half where a read may be stale', async t => {
  const at = (visit: keyof Visits, bytes: number) => unitsOf(VISITS[visit], bytes)
  t.same(at('anonymous', 9000), { calls: 0, read: 0, write: 0 })
  t.same(at('read', 9000), { calls: 1, read: 1.5, write: 0 })
  t.same(at('change', 9000), { calls: 2, read: 3, write: 9 })
  t.same(at('login', 9000), { calls: 3, read: 1.5, write: 10 })
  t.same(at('forged', 9000), { calls: 2, read: 1.5, write: 0 }, 'what is not there has no size')
})

t.test('a month is the sum of its visits, and stores a hundred bytes more for each session', async t => {
  const usage = usageOf(VISITS, 2000, { visits: { anonymous: 1000, read: 10, change: 2, first: 1 }, sessions: 3 })
  t.same(usage, { calls: 10 + 4 + 1, read: 5 + 2, write: 4 + 2, stored: 6300 })
})

t.test('a bill on demand is units by their price, and storage by the gigabyte', async t => {
  const prices = { mode: 'on demand', region: 'x', date: '2000-01-01', read: 2, write: 10, storage: 0.5 } as const
  t.same(billOf({ calls: 0, read: 3e6, write: 0.5e6, stored: 4e9 }, prices), { reads: 6, writes: 5, storage: 2, total: 13 })
})

t.test('provisioned capacity is paid for by the hour: what is used evenly costs what that capacity costs all month', async t => {
  const prices = { mode: 'provisioned', region: 'x', date: '2000-01-01', read: 0.01, write: 0.1, storage: 0.5, hoursOfMonth: 100 } as const
  const capacity = billOfCapacity({ read: 7, write: 3, stored: 2e9 }, prices)
  t.same(capacity, { reads: 7, writes: 30, storage: 1, total: 38 })
  const seconds = 100 * 3600
  t.same(billOf({ calls: 0, read: 7 * seconds, write: 3 * seconds, stored: 2e9 }, prices), capacity)
})

t.test('a renewal is due with the first request that comes a reissue time after the last', async t => {
  t.same([0, 1, 10, 11, 60, 720].map(time => requestsPerRenewal(10, time)), [1, 1, 1, 2, 6, 72])
  t.same(requestsPerRenewal(10, Infinity), Infinity)
  t.same(withRenewals(720, 10, 60), { read: 600, renewal: 120 })
  t.same(withRenewals(720, 10, 0), { read: 0, renewal: 720 })
  t.same(withRenewals(720, 10, Infinity), { read: 720, renewal: 0 })
})

t.test('a write costs ten reads up to 1 KB, and forty from 4 KB on', async t => {
  t.same([500, 1024, 2129, 4096, 65_536].map(bytes => readsPerWrite(bytes, ON_DEMAND)), [10, 10, 30, 40, 40])
  t.same([500, 2129, 4096].map(bytes => readsPerWrite(bytes, PROVISIONED).toFixed(3)), ['10.000', '30.000', '40.000'])
})

t.test('the example of dynamodb-session-store comes to what its README says, by the prices that it names', async t => {
  t.same([PROVISIONED.read, PROVISIONED.write, PROVISIONED.storage, PROVISIONED.hoursOfMonth], [0.00013, 0.00065, 0.25, 720])
  const { reads, writes, storage, total } = theirBill(PROVISIONED)
  t.equal(reads.toFixed(2), '79.56', 'which it rounds to 80')
  t.equal(writes.toFixed(2), '46.80', 'which it rounds to 50')
  t.equal(storage, 4)
  t.equal(total.toFixed(2), '130.36', 'and not to 134')
})

t.test('its traffic: every request reads, and three million visits a month write', async t => {
  const small: System = { ...OURS, bytes: 2000 }
  const usage = asGiven(small)
  t.equal(usage.read, (100_000 * 60 * 720 - 1e6) / 2, 'a new session is not read')
  t.equal(usage.write, 3e6 * 2)
  t.equal(usage.stored, 8e6 * 2100)
  const paced = atPace(10, small)
  t.equal(paced.read, usage.read, 'a renewal reads too')
  t.equal(Math.round(paced.write), Math.round(usage.write + (100_000 * 60 * 720 - 3e6) / 72 * 2))
  t.same(atPace(10, { ...small, reissueTime: undefined }), usage, 'without renewals there is no difference')
})

t.test('a row of a bill has units in millions, and dollars', async t => {
  t.same(billCells({ calls: 0, read: 2.159e9, write: 9e6, stored: 18e9 }, ON_DEMAND, PROVISIONED), ['2,159', '9', '$270', '$5.63', '$4.50', '$280', '$84'])
  t.same([0, 0.004, 9.994, 10.4, 1234.5].map(dollars), ['$0.00', '$0.00', '$9.99', '$10', '$1,235'])
})

t.test('each system has a name of its own, and a read of it is no dearer than its change', async t => {
  t.equal(new Set(SYSTEMS.map(labelOf)).size, SYSTEMS.length)
  t.ok(SYSTEMS.map(labelOf).includes('fastify-dynamodb-session, `format: \'native\'`'))
  for (const system of SYSTEMS) {
    const [read, change] = [unitsOf(system.visits.read, system.bytes), unitsOf(system.visits.change, system.bytes)]
    t.ok(read.read <= change.read && read.write <= change.write, labelOf(system))
    t.equal(unitsOf(system.visits.burst, system.bytes).calls, read.calls * (system.name === OURS.name ? 1 : 20), labelOf(system))
  }
})

t.test('a price list says where and since when it holds', async t => {
  for (const { region, date, storage } of [ON_DEMAND, PROVISIONED]) t.same([region, date, storage], ['us-east-1', '2024-11-01', 0.25])
  t.same([ON_DEMAND.read, ON_DEMAND.write], [0.125, 0.625])
})
