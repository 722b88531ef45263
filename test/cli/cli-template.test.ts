import { parse } from 'yaml'
import t from 'tap'
import { policyOf, tableArn } from '../../cli/policy.js'
import { toYaml } from '../../cli/yaml.js'
import { command } from '../support/cli.js'
import { blocksIn, read } from '../support/documents.js'

const AT = ['--table', 'sessions', '--region', 'eu-central-1', '--account', '111122223333']

/** The policies of a document. */
const policiesIn = (path: string): unknown[] => blocksIn(read(path), 'json').map(text => JSON.parse(text)).filter(({ Statement }) => Statement !== undefined)

const template = async (...args: string[]) => await command(['template', '--table', 'sessions', ...args])

t.test('the policy is the one of the README, and with a prefix the one of docs/security.md', async t => {
  const plain = await command(['iam-policy', ...AT])
  t.same([plain.code, plain.err], [0, ''])
  t.strictSame([plain.json], policiesIn('README.md'))
  const prefixed = await command(['iam-policy', ...AT, '--prefix', 'shop#', '--json'])
  t.same(prefixed.err, '')
  t.strictSame([prefixed.json], policiesIn('docs/security.md'))
})

t.test('who deploys and who operates get what they need, and not what they do not', async t => {
  const actions = async (role: string): Promise<string[]> => (await command(['iam-policy', ...AT, '--for', role])).json.Statement[0].Action
  t.same(await actions('web'), ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'])
  const deploy = await actions('deploy')
  t.ok(deploy.includes('dynamodb:CreateTable') && deploy.includes('dynamodb:UpdateTimeToLive') && !deploy.some(action => /Item|Scan|DeleteTable/.test(action)))
  const operator = await actions('operator')
  t.ok(operator.includes('dynamodb:Scan') && operator.includes('dynamodb:DescribeContinuousBackups') && !operator.some(action => /(Create|Delete|Update)Table/.test(action)))
})

t.test('an ARN is taken as it is, and each partition of AWS has its own', async t => {
  const arn = 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions'
  t.equal((await command(['iam-policy', '--table', arn])).json.Statement[0].Resource, arn)
  t.equal(tableArn('cn-north-1', '1', 'x'), 'arn:aws-cn:dynamodb:cn-north-1:1:table/x')
  t.equal(tableArn('us-gov-west-1', '1', 'x'), 'arn:aws-us-gov:dynamodb:us-gov-west-1:1:table/x')
  t.equal((await command(['iam-policy', '--table', 'sessions', '--account', '111122223333'], { env: { AWS_REGION: 'eu-central-1' } })).json.Statement[0].Resource, arn)
})

t.test('a policy that would permit more than it says is not printed', async t => {
  for (const [args, err] of [
    [['--table', 'sessions'], /give --region and --account/],
    [[...AT.slice(0, 4), '--account', '*'], /"--account" must be 12 digits/],
    [['--table', 'sessions', '--account', '111122223333', '--region', '*'], /"--region" must be a region/],
    [[...AT, '--prefix', 'shop*'], /have a meaning of their own/],
    [[...AT, '--prefix', '${aws:username}#'], /have a meaning of their own/], // eslint-disable-line no-template-curly-in-string
    [[...AT, '--prefix', '&{aws:username}#'], /have a meaning of their own/],
    [[...AT, '--for', 'root'], /"--for" must be one of web, deploy, operator/]
  ] as const) t.match(await command(['iam-policy', ...args]), { code: 2, out: '', err })
  t.match((await command(['iam-policy', ...AT, '--prefix', 'shop'])).err, /^warning: The prefix ends in a letter or digit/)
  t.match((await command(['iam-policy', ...AT, '--prefix', 'shop#', '--for', 'operator'])).err, /^warning: The prefix is left out/)
})

t.test('CloudFormation gets a table with TTL that outlives its stack, and the same policy', async t => {
  const { code, out } = await template('--cloudformation', '--prefix', 'shop#')
  t.equal(code, 0)
  const stack = parse(out)
  t.strictSame(stack, (await template('--cloudformation', '--prefix', 'shop#', '--json')).json, 'YAML and JSON say the same')
  const { Sessions, SessionsPolicy, ...more } = stack.Resources
  t.same(more, {})
  t.strictSame(Sessions, {
    Type: 'AWS::DynamoDB::Table',
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Properties: {
      TableName: 'sessions',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      TimeToLiveSpecification: { AttributeName: 'expires', Enabled: true },
      DeletionProtectionEnabled: true,
      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: false }
    }
  })
  t.strictSame(SessionsPolicy.Properties.PolicyDocument, policyOf({ 'Fn::GetAtt': ['Sessions', 'Arn'] }, 'web', 'shop#'))
  t.notOk('Transform' in stack)
})

t.test('provisioned capacity scales by itself, in reads and in writes', async t => {
  const { Resources } = parse((await template('--cloudformation', '--provisioned', '--min-capacity', '10', '--max-capacity', '400')).out)
  t.same(Resources.Sessions.Properties.ProvisionedThroughput, { ReadCapacityUnits: 10, WriteCapacityUnits: 10 })
  for (const kind of ['Read', 'Write']) {
    t.match(Resources[`Sessions${kind}Target`].Properties, { ScalableDimension: `dynamodb:table:${kind}CapacityUnits`, MinCapacity: 10, MaxCapacity: 400, ResourceId: { 'Fn::Join': ['/', ['table', { Ref: 'Sessions' }]] } })
    t.match(Resources[`Sessions${kind}Scaling`].Properties, {
      PolicyType: 'TargetTrackingScaling',
      ScalingTargetId: { Ref: `Sessions${kind}Target` },
      TargetTrackingScalingPolicyConfiguration: { TargetValue: 70, PredefinedMetricSpecification: { PredefinedMetricType: `DynamoDB${kind}CapacityUtilization` } }
    })
  }
  t.match(parse((await template('--cloudformation', '--provisioned')).out).Resources.SessionsReadTarget.Properties, { MinCapacity: 5, MaxCapacity: 1000 })
})

t.test('SAM gets the same with its transform', async t => {
  const sam = parse((await template('--sam', '--key-type', 'B', '--partition-key', 'sid', '--ttl-attribute', 'ttl', '--no-deletion-protection', '--point-in-time-recovery')).out)
  t.equal(sam.Transform, 'AWS::Serverless-2016-10-31')
  t.match(sam.Resources.Sessions.Properties, {
    AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'B' }],
    TimeToLiveSpecification: { AttributeName: 'ttl' },
    DeletionProtectionEnabled: false,
    PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }
  })
})

t.test('Terraform gets the same table, policy and scaling', async t => {
  const { out } = await template('--terraform', '--prefix', 'shop#', '--point-in-time-recovery')
  for (const line of [
    /^resource "aws_dynamodb_table" "sessions" \{$/m, /^ {2}name += "sessions"$/m, /billing_mode += "PAY_PER_REQUEST"/, /hash_key += "id"/, /deletion_protection_enabled = true/,
    /attribute \{\n {4}name = "id"\n {4}type = "S"\n {2}\}/, /ttl \{\n {4}attribute_name = "expires"\n {4}enabled {8}= true\n {2}\}/,
    /point_in_time_recovery \{\n {4}enabled = true\n/, /prevent_destroy = true/, /test {5}= "ForAllValues:StringLike"\n {6}variable = "dynamodb:LeadingKeys"\n {6}values {3}= \["shop#\*"\]/
  ]) t.match(out, line)
  t.same([...out.matchAll(/"(dynamodb:\w+Item)"/g)].map(([, action]) => action), policyOf('').Statement[0]?.Action)
  t.notMatch(out, 'appautoscaling')
  const scaled = (await template('--terraform', '--provisioned', '--min-capacity', '2')).out
  t.match(scaled, /read_capacity += 2\n {2}write_capacity += 2/)
  t.match(scaled, 'ignore_changes  = [read_capacity, write_capacity]')
  t.match(scaled, /resource_id {8}= "table\/\$\{aws_dynamodb_table\.sessions\.name\}"/)
  t.equal(scaled.match(/target_value = 70/g)?.length, 2)
  for (const text of [out, scaled]) t.equal(text.match(/\{/g)?.length, text.match(/\}/g)?.length, 'what is opened is closed')
  t.equal((await template('--terraform', '--json')).json.terraform + '\n', (await template('--terraform')).out)
})

t.test('what Terraform would take for an expression is text', async t => {
  // eslint-disable-next-line no-template-curly-in-string
  t.match((await template('--terraform', '--ttl-attribute', '${file("x")}')).out, 'attribute_name = "$${file(\\"x\\")}"')
})

t.test('YAML reads back as it was meant', async t => {
  for (const value of [
    { a: 'yes', b: 'No', c: 'null', d: '012', e: '1e3', f: 'a: b', g: '# no', h: '', i: '- x', j: 'ü', k: 'a:', l: 'true', m: '~' },
    { list: ['a', { b: 1, c: { d: false } }, ['x', ['y']]], 'odd key: x': 2 }
  ]) t.strictSame(parse(toYaml(value)), value)
})

t.test('templates that cannot be are refused', async t => {
  for (const [args, err] of [
    [[], /Give one of --cloudformation, --terraform, --sam/],
    [['--sam', '--terraform'], /Give one of/],
    [['--sam', '--min-capacity', '5'], /go with "--provisioned" only/],
    [['--sam', '--max-capacity', '5'], /go with "--provisioned" only/],
    [['--sam', '--provisioned', '--min-capacity', '6', '--max-capacity', '5'], /must not be more than/],
    [['--sam', '--provisioned', '--min-capacity', '0'], /must be a whole number from 1 to 40,000/],
    [['--sam', '--prefix', 'shop*'], /have a meaning of their own/],
    [['--sam', '--ttl-attribute', 'data'], /Option "--ttl-attribute" is the name of an attribute that records have/]
  ] as const) t.match(await template(...args), { code: 2, out: '', err })
  t.match(await command(['template', '--sam', '--table', 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions']), { code: 2, err: /must be a name here/ })
})
