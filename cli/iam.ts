import { LAYOUT_FLAGS, OUTPUT_FLAGS, type Command, type Context } from './command.js'
import { FINE, misuse } from './fault.js'
import { isOpenPrefix, policyOf, tableArn } from './policy.js'
import { layoutOptions } from './place.js'
import { resolveOptions } from '../lib/options.js'

const { table, prefix } = LAYOUT_FLAGS

export const iamPolicy: Command = {
  name: 'iam-policy',
  summary: 'Prints the IAM policy with the least that is needed.',
  about: [
    'It is JSON with --json and without, makes no call and looks nothing up: region and account are what you give, or those of',
    'the table\'s ARN. With --prefix, a web server can touch the records of its own prefix only.'
  ],
  positionals: [],
  flags: {
    for: { type: 'string', value: 'role', help: 'web: the application. deploy: create-table. operator: doctor, show, revoke and purge.', otherwise: 'web' },
    account: { type: 'string', value: 'number', help: 'The 12 digits of the AWS account. Required unless --table is an ARN.' },
    region: { type: 'string', value: 'name', help: 'AWS region. Required unless --table is an ARN.', otherwise: 'AWS_REGION' },
    ...table !== undefined && { table },
    ...prefix !== undefined && { prefix },
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const { given, output } = context
    const role = given.oneOf('for', ['web', 'deploy', 'operator']) ?? 'web'
    const { layout } = resolveOptions(layoutOptions(given))
    const policy = policyOf(resourceOf(context, layout.table), role, layout.keyPrefix)
    if (role !== 'web' && layout.keyPrefix !== '') output.warn('The prefix is left out: an operator and a deployment act on the whole table.')
    else if (layout.keyPrefix !== '' && isOpenPrefix(layout.keyPrefix)) output.warn('The prefix ends in a letter or digit, so it takes in longer ones too: end each prefix with a sign such as #.')
    output.printJson(policy)
    return FINE
  }
}

function resourceOf ({ given, io }: Context, name: string): string {
  if (name.startsWith('arn:')) return name
  const region = given.text('region') ?? io.env['AWS_REGION']
  const account = given.text('account')
  if (region === undefined || account === undefined) throw misuse('A policy names one table of one account: give --region and --account, or the ARN as --table.')
  if (!/^[a-z]{2}(-[a-z]+)+-\d+$/.test(region)) throw misuse('Option "--region" must be a region such as eu-central-1.')
  if (!/^\d{12}$/.test(account)) throw misuse('Option "--account" must be 12 digits.')
  return tableArn(region, account, name)
}
