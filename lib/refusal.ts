import type { Indexing } from '../types/indexing.js'
import type { Layout } from './item.js'

export interface IndexedSettings {
  readonly layout: Layout
  /** Told of a session that was written without index attributes, because an index refused one; with its key. */
  readonly onIndexRefused?: ((key: string) => void) | undefined
}

/**
 * Carries out a write of values, from which index attributes follow. An index refuses an attribute that has another type than its
 * key, and with it the whole write: then it is written without them, because a session is worth more than its place in an index.
 */
export function writeIndexed<T> (settings: IndexedSettings, key: string, write: (layout: Layout) => Promise<T>): Promise<T> {
  const { layout, layout: { index } } = settings
  return index === undefined ? write(layout) : writeOrLeaveOut(settings, index, key, write)
}

async function writeOrLeaveOut<T> (
  { layout, onIndexRefused }: IndexedSettings, index: Indexing, key: string, write: (layout: Layout) => Promise<T>
): Promise<T> {
  try {
    return await write(layout)
  } catch (error) {
    if (!isInvalid(error)) throw error
    const written = await write({ ...layout, index: index.withoutValues })
    onIndexRefused?.(key)
    return written
  }
}

/** DynamoDB has one name for all that it finds wrong with a call, before it does anything. */
function isInvalid (error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.name === 'ValidationException'
}
