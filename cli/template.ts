import { LAYOUT_FLAGS, OUTPUT_FLAGS, type Command } from './command.js'
import type { Given } from './arguments.js'
import { FINE, misuse } from './fault.js'
import { layoutOptions } from './place.js'
import { resolveOptions } from '../lib/options.js'
import { stackOf, type TableWish } from './stack.js'
import { terraformOf } from './terraform.js'
import { toYaml } from './yaml.js'

const KINDS = ['cloudformation', 'terraform', 'sam'] as const

export const template: Command = {
  name: 'template',
  summary: 'Prints a table and its IAM policy for CloudFormation, Terraform or SAM.',
  about: [
    'The table has TTL, is kept when its stack goes, and is on demand; with --provisioned it scales by itself between two bounds.',
    'With --json, CloudFormation and SAM come as JSON, and Terraform as the member "terraform". It makes no call.'
  ],
  positionals: [],
  flags: {
    cloudformation: { type: 'boolean', help: 'A CloudFormation template.' },
    terraform: { type: 'boolean', help: 'Resources for Terraform.' },
    sam: { type: 'boolean', help: 'A template of the Serverless Application Model.' },
    provisioned: { type: 'boolean', help: 'Provisioned capacity that scales, in place of on demand.' },
    'min-capacity': { type: 'string', value: 'units', help: 'With --provisioned: least read and write units a second.', otherwise: '5' },
    'max-capacity': { type: 'string', value: 'units', help: 'With --provisioned: most of them.', otherwise: '1000' },
    'no-deletion-protection': { type: 'boolean', help: 'Let one call delete the table.' },
    'point-in-time-recovery': { type: 'boolean', help: 'Keep what is needed to bring the table back. It has a price.' },
    ...LAYOUT_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async ({ given, output }) => {
    const kind = kindOf(given)
    const wish = wishOf(given)
    if (kind === 'terraform') {
      const text = terraformOf(wish)
      if (given.has('json')) output.printJson({ terraform: text })
      else output.print(text)
      return FINE
    }
    const stack = stackOf(wish, kind === 'sam')
    if (given.has('json')) output.printJson(stack)
    else output.print(toYaml(stack))
    return FINE
  }
}

function kindOf (given: Given): typeof KINDS[number] {
  const [kind, ...more] = KINDS.filter(kind => given.has(kind))
  if (kind === undefined || more.length > 0) throw misuse(`Give one of --${KINDS.join(', --')}.`)
  return kind
}

function wishOf (given: Given): TableWish {
  const { layout } = resolveOptions(layoutOptions(given))
  if (layout.table.startsWith('arn:')) throw misuse('Option "--table" must be a name here: the ARN is made with the table.')
  return {
    layout,
    provisioned: capacityOf(given),
    deletionProtection: !given.has('no-deletion-protection'),
    recovery: given.has('point-in-time-recovery')
  }
}

function capacityOf (given: Given): TableWish['provisioned'] {
  const least = given.number('min-capacity', { least: 1, most: 40_000, whole: true })
  const most = given.number('max-capacity', { least: 1, most: 40_000, whole: true })
  if (!given.has('provisioned')) {
    if (least !== undefined || most !== undefined) throw misuse('Options "--min-capacity" and "--max-capacity" go with "--provisioned" only.')
    return undefined
  }
  const capacity = { least: least ?? 5, most: most ?? 1000 }
  if (capacity.least > capacity.most) throw misuse('Option "--min-capacity" must not be more than "--max-capacity".')
  return capacity
}
