import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'

interface Parts { readonly ReturnConsumedCapacity?: string, readonly ScannedCount?: number, readonly ConsumedCapacity?: { readonly CapacityUnits?: number } }

/** The capacity units that the calls of a client take: those that ask for it. An engine that does not tell counts by items. */
export class Meter {
  #units = 0

  constructor (client: DynamoDBClient) {
    client.middlewareStack.add(next => async args => {
      const isCounted = (args.input as Parts).ReturnConsumedCapacity !== undefined
      try {
        const answer = await next(args)
        const { ScannedCount = 1, ConsumedCapacity } = answer.output as Parts
        if (isCounted) this.#units += ConsumedCapacity?.CapacityUnits ?? ScannedCount
        return answer
      } catch (error) {
        // A write whose condition fails is charged too, and does not say how much.
        if ((error as Error).name === 'ConditionalCheckFailedException') this.#units += 1
        throw error
      }
    }, { step: 'initialize', name: 'sessionMeter' })
  }

  /** Units since the last time. */
  take (): number {
    const units = this.#units
    this.#units = 0
    return units
  }
}
