import t, { type Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, createServer, request as forward } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { GetItemCommand, type DynamoDBClientConfig } from '@aws-sdk/client-dynamodb'
import { makeClient } from '../lib/client.js'
import { makeCertificate } from './support/certificate.js'
import { NOT_COVERED } from './support/children.js'
import { clientConfig } from './support/engines.js'
import { refusal, startService } from './support/service.js'

/** The AWS SDK's settings, from its configuration and from the environment: the plugin's client goes by them as any other does. */

const CREDENTIALS = { accessKeyId: 'KEY', secretAccessKey: 'secret' }

/** Sets what the environment says for one test. */
function say (t: Test, settings: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(settings)) {
    const before = process.env[name]
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}

async function read (t: Test, config: DynamoDBClientConfig) {
  const client = makeClient(config, 3)
  t.teardown(() => { client.destroy() })
  return await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
}

/** Where a client with this configuration sends to. The plugin's own transport is there, and sends nothing. */
async function hostOf (t: Test, config: DynamoDBClientConfig, TableName = 'sessions'): Promise<string> {
  const client = makeClient({ credentials: CREDENTIALS, ...config }, 3)
  t.teardown(() => { client.destroy() })
  let host = ''
  Object.assign(client.config.requestHandler, {
    handle: async (request: { protocol: string, hostname: string, headers: Record<string, string> }) => {
      host = `${request.protocol}//${request.hostname} ${/\d{8}\/([^,]+)/.exec(request.headers['authorization'] ?? '')?.[1] ?? ''}`
      return { response: { statusCode: 200, headers: {}, body: Buffer.from('{}') } }
    }
  })
  await client.send(new GetItemCommand({ TableName, Key: { id: { S: 'x' } } }))
  return host
}

/** No setting of the machine on which this runs. */
t.beforeEach(t => {
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) say(t, { [name]: undefined })
  say(t, { AWS_CONFIG_FILE: join(t.testdirName, 'none'), AWS_SHARED_CREDENTIALS_FILE: join(t.testdirName, 'none') })
})

t.test('region and credentials come from the environment', async t => {
  say(t, { AWS_REGION: 'eu-west-3', AWS_ACCESS_KEY_ID: 'FROMENV', AWS_SECRET_ACCESS_KEY: 'secret' })
  const service = await startService(t)
  await read(t, { endpoint: service.endpoint })
  t.match(service.seen, [{ accessKeyId: 'FROMENV', region: 'eu-west-3' }])
})

t.test('a role comes by way of a web identity, as in Kubernetes: the same transport asks for it, once', async t => {
  const answer = `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>
    <AssumedRoleUser><AssumedRoleId>A:x</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/x</Arn></AssumedRoleUser>
    <Credentials><AccessKeyId>OFROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
    <Expiration>${new Date(Date.now() + 3_600_000).toISOString()}</Expiration></Credentials>
    </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
  const security = await startService(t, () => ({ headers: { 'content-type': 'text/xml' }, body: answer }))
  const service = await startService(t)
  const file = join(t.testdir({ token: 'a web identity' }), 'token')
  say(t, { AWS_REGION: 'eu-west-3', AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/r', AWS_ENDPOINT_URL_STS: security.endpoint })
  const client = makeClient({ endpoint: service.endpoint }, 3)
  t.teardown(() => { client.destroy() })
  for (const id of ['x', 'y']) await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: id } } }))
  t.match(security.seen, [{ body: /a\+web\+identity|a%20web%20identity/ }])
  t.equal(security.seen.length, 1)
  t.match(service.seen, [{ accessKeyId: 'OFROLE' }, { accessKeyId: 'OFROLE' }])
})

t.test('the endpoint comes from the environment, that of the service before that of all', async t => {
  const [all, own] = [await startService(t), await startService(t)]
  say(t, { AWS_ENDPOINT_URL: all.endpoint })
  await read(t, { region: 'eu-west-3', credentials: CREDENTIALS })
  say(t, { AWS_ENDPOINT_URL_DYNAMODB: own.endpoint })
  await read(t, { region: 'eu-west-3', credentials: CREDENTIALS })
  t.same([all.seen.length, own.seen.length], [1, 1])
})

t.test('a profile of the shared files gives region, credentials, endpoint', async t => {
  const service = await startService(t)
  const folder = t.testdir()
  const [config, credentials] = [join(folder, 'config'), join(folder, 'credentials')]
  writeFileSync(config, `[profile sessions]\nregion = eu-north-1\nendpoint_url = ${service.endpoint}\n`)
  writeFileSync(credentials, '[sessions]\naws_access_key_id = FROMFILE\naws_secret_access_key = secret\n')
  say(t, { AWS_PROFILE: 'sessions', AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: credentials })
  await read(t, {})
  t.match(service.seen, [{ accessKeyId: 'FROMFILE', region: 'eu-north-1' }])
})

t.test('AWS_MAX_ATTEMPTS counts where the configuration says nothing; otherwise three', async t => {
  const service = await startService(t, () => refusal('InternalServerError', 500))
  const attempts = async (config: DynamoDBClientConfig): Promise<unknown[]> => {
    await t.rejects(read(t, { ...clientConfig(service.endpoint), ...config }), { name: 'InternalServerError', $metadata: { httpStatusCode: 500 } })
    return service.seen.splice(0).map(seen => seen.headers['amz-sdk-request'])
  }
  t.same(await attempts({}), ['attempt=1; max=3', 'attempt=2; max=3', 'attempt=3; max=3'])
  say(t, { AWS_MAX_ATTEMPTS: '2' })
  t.same(await attempts({}), ['attempt=1; max=2', 'attempt=2; max=2'])
  t.same(await attempts({ maxAttempts: 1 }), ['attempt=1; max=1'])
  say(t, { AWS_MAX_ATTEMPTS: '' })
  t.equal((await attempts({})).length, 3)
})

t.test('AWS_RETRY_MODE counts: calls in the adaptive mode are answered and repeated', async t => {
  say(t, { AWS_RETRY_MODE: 'adaptive' })
  const service = await startService(t, (_seen, count) => count === 1 ? refusal('InternalServerError', 500) : {})
  t.match(await read(t, clientConfig(service.endpoint)), { $metadata: { attempts: 2 } })
})

t.test('requests go to the region\'s endpoint, and to those that settings ask for', async t => {
  const region = 'eu-central-1'
  t.equal(await hostOf(t, { region }), 'https://dynamodb.eu-central-1.amazonaws.com eu-central-1/dynamodb/aws4_request')
  t.equal(await hostOf(t, { region: 'us-east-1', useFipsEndpoint: true }), 'https://dynamodb-fips.us-east-1.amazonaws.com us-east-1/dynamodb/aws4_request')
  t.equal(await hostOf(t, { region, useDualstackEndpoint: true }), 'https://dynamodb.eu-central-1.api.aws eu-central-1/dynamodb/aws4_request')
  t.equal(await hostOf(t, { region: 'cn-north-1' }), 'https://dynamodb.cn-north-1.amazonaws.com.cn cn-north-1/dynamodb/aws4_request')
  say(t, { AWS_USE_FIPS_ENDPOINT: 'true' })
  t.match(await hostOf(t, { region: 'us-east-1' }), /^https:\/\/dynamodb-fips\.us-east-1\.amazonaws\.com /)
  say(t, { AWS_USE_FIPS_ENDPOINT: undefined, AWS_USE_DUALSTACK_ENDPOINT: 'true' })
  t.match(await hostOf(t, { region }), /^https:\/\/dynamodb\.eu-central-1\.api\.aws /)
})

t.test('with an account in the credentials, requests go to the account\'s endpoint, unless that is switched off', async t => {
  const config = { region: 'eu-central-1', credentials: { ...CREDENTIALS, accountId: '123456789012' } }
  t.match(await hostOf(t, config), /^https:\/\/123456789012\.ddb\.eu-central-1\.amazonaws\.com /)
  t.match(await hostOf(t, { ...config, accountIdEndpointMode: 'disabled' }), /^https:\/\/dynamodb\.eu-central-1\.amazonaws\.com /)
  t.match(await hostOf(t, config, 'arn:aws:dynamodb:eu-central-1:222222222222:table/sessions'), /^https:\/\/222222222222\.ddb\./)
  say(t, { AWS_ACCOUNT_ID_ENDPOINT_MODE: 'disabled' })
  t.match(await hostOf(t, config), /^https:\/\/dynamodb\.eu-central-1\.amazonaws\.com /)
})

t.test('over TLS', async t => {
  const certificate = makeCertificate()
  const service = await startService(t, () => ({}), certificate)
  const config = clientConfig(service.endpoint)

  await t.test('a certificate that nobody vouches for is refused, at once and without a word', async t => {
    await t.rejects(read(t, config), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT', $metadata: { attempts: 1 } })
    t.equal(service.seen.length, 0)
  })

  await t.test('one that NODE_EXTRA_CA_CERTS vouches for is taken', async t => {
    const file = join(t.testdir(), 'ca.pem')
    writeFileSync(file, certificate.cert)
    const child = spawn(process.execPath, ['--no-warnings', '--import=tsx', '--input-type=module', '--eval', `
      import { GetItemCommand } from '@aws-sdk/client-dynamodb'
      import { makeClient } from './lib/client.ts'
      const client = makeClient(${JSON.stringify(config)}, 30)
      const answer = await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } }))
      client.destroy()
      console.log(answer.$metadata.httpStatusCode)
    `], { cwd: fileURLToPath(new URL('..', import.meta.url)), env: { ...process.env, ...NOT_COVERED, NODE_EXTRA_CA_CERTS: file } })
    const [said, problem, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit') as Promise<[number]>])
    t.same([said.trim(), code], ['200', 0], problem)
  })

  await t.test('one that the configuration\'s transport vouches for is taken', async t => {
    const answer = await read(t, { ...config, requestHandler: { httpsAgent: { ca: certificate.cert } } })
    t.equal(answer.$metadata.httpStatusCode, 200)
  })
})

t.test('proxies', async t => {
  const service = await startService(t)
  const passed: string[] = []
  const proxy = createServer((request, response) => {
    passed.push(request.url ?? '')
    request.pipe(forward(`http://${String(request.headers.host)}${request.url ?? ''}`, { method: 'POST', headers: request.headers }, answer => {
      response.writeHead(answer.statusCode ?? 0, answer.headers)
      answer.pipe(response)
    }))
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  const { port } = proxy.address() as AddressInfo

  await t.test('HTTP_PROXY does not count, as it does not for the SDK', async t => {
    say(t, { HTTP_PROXY: `http://127.0.0.1:${port}`, HTTPS_PROXY: `http://127.0.0.1:${port}`, http_proxy: `http://127.0.0.1:${port}`, NODE_USE_ENV_PROXY: '1' })
    await read(t, clientConfig(service.endpoint))
    t.same([passed, service.seen.length], [[], 1])
  })

  await t.test('an agent that leads through a proxy does', async t => {
    class ProxyAgent extends Agent { override createConnection () { return connect(port, '127.0.0.1') } }
    await read(t, { ...clientConfig(service.endpoint), requestHandler: { httpAgent: new ProxyAgent() } })
    t.same([passed, service.seen.length], [['/'], 2])
  })
})
