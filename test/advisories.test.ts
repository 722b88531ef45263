import t from 'tap'
import { COOKIES } from './advisories/cookies.js'
import { ENDINGS } from './advisories/endings.js'
import { RECORDS } from './advisories/records.js'
import { startDynalite } from './support/engines.js'

/**
 * What befell other session systems, each with a test that would catch it here. A title is the advisory's name and what holds
 * in this product.
 */
const ADVISORIES = [
  'CVE-2024-35220 @fastify/session',
  '@fastify/session #240',
  '@fastify/session #240 after the fix',
  'CVE-2024-31999 @fastify/secure-session',
  'CVE-2023-29019 @fastify/passport, CVE-2022-25896 passport',
  'CVE-2023-29020 @fastify/passport',
  'CVE-2025-46336 rack-session',
  'CVE-2026-39324 rack-session',
  'CVE-2019-16782 rack/Rails',
  'rack Pool allow_fallback',
  'CVE-2015-5143, CVE-2015-5963, CVE-2015-5964 Django',
  'CVE-2015-3982 Django',
  'CVE-2011-4136 Django',
  'CVE-2016-4423 Symfony',
  'CVE-2022-46170 CodeIgniter4',
  'CVE-2023-20862 Spring Security',
  'CVE-2023-20866 Spring Session',
  'CVE-2021-34428 Jetty',
  'CVE-2023-40273 Airflow, CVE-2022-23502 TYPO3',
  'CVE-2021-21339 TYPO3',
  'CVE-2023-30861 Flask',
  'CVE-2026-27205 Flask',
  'CVE-2024-26144 Rails ActiveStorage',
  'rack invalid-JSON body leak',
  'WS-2022-0330 csrf-csrf',
  'CVE-2020-8184 rack; CVE-2021-41819 Ruby cgi; CVE-2020-7070 PHP',
  'CVE-2022-31629 PHP',
  'CVE-2023-23934 Werkzeug',
  'PortSwigger 2025, prefix bypass',
  'CVE-2024-38513 gofiber',
  'CVE-2025-66630 gofiber',
  'CVE-2018-12071 CodeIgniter, PHP strict-mode RFC',
  'tower-sessions 0.12.0, 0.12.1',
  'tower-sessions PR#260',
  'CVE-2020-9484 Tomcat FileStore, CVE-2024-3400 PAN-OS',
  'node-serialize; Marshal in rack and the AWS Ruby store',
  'prototype poisoning of the session object',
  'bad stored record',
  'CVE-2024-47764 cookie; Hono GHSA-5pq2-9x2x-5p6w, GHSA-26pp-8wgv-hjvm, CVE-2026-47675',
  'CVE-2025-7339 on-headers',
  'GHSA-m93c-jj3f-68ph @fastify/aws-lambda',
  'flask-session #240',
  'connect-dynamodb #39, #43',
  'AWS PHP handler'
]

t.test('advisories', async t => {
  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const ran: string[] = []
  for (const { advisory, promise, run } of [...ENDINGS, ...COOKIES, ...RECORDS]) {
    await t.test(`${advisory}: ${promise}`, async t => {
      await run(t, engine)
      if (t.counts.total > 0) ran.push(advisory)
    })
  }
  t.strictSame(ran.sort(), [...ADVISORIES].sort(), 'each advisory of the list has its test, and each test ran')
})
