/** A thing that the shop sells. Its drawing is `views/drawings/<id>.eta`. */
export interface Product {
  readonly id: string
  readonly name: string
  readonly about: string
  /** Euro. */
  readonly price: number
}

export const PRODUCTS: readonly Product[] = [
  { id: 'cup', name: 'Cup', about: 'Stoneware, holds a quarter of a litre.', price: 18 },
  { id: 'teapot', name: 'Teapot', about: 'Pours without a drop beside.', price: 64 },
  { id: 'bowl', name: 'Bowl', about: 'For soup, or for keys by the door.', price: 24 },
  { id: 'vase', name: 'Vase', about: 'Tall enough for two tulips.', price: 46 },
  { id: 'candle', name: 'Candlestick', about: 'Stands where others fall.', price: 32 },
  { id: 'plate', name: 'Plate', about: 'Flat, round, and glad of company.', price: 22 }
]

export function findProduct (id: string): Product | undefined {
  return PRODUCTS.find(product => product.id === id)
}
