// Run in the page, so they are text.

/** Fields, buttons, links and drawings that a screen reader has no word for. */
export const UNNAMED = `[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, svg:not([aria-hidden=true]), [role=img]')]
  .filter(each => each.checkVisibility() && each.closest('[aria-hidden=true]') === null)
  .filter(each => {
    const names = [each.getAttribute('aria-label'), each.labels?.[0]?.textContent, each.textContent,
      ...(each.getAttribute('aria-labelledby') ?? '').split(' ').map(id => document.getElementById(id)?.textContent)]
    return !names.some(name => name?.trim())
  })
  .map(each => each.outerHTML.slice(0, 120))`

/** Text that stands out from its ground by less than WCAG 2.2 asks for (1.4.3, level AA): 4.5, or 3 where it is large. */
export const FAINT_TEXT = `(() => {
  const channels = color => {
    const found = color.match(/[\\d.]+/g).map(Number)
    return { rgb: found.slice(0, 3), alpha: found[3] ?? 1 }
  }
  const over = (front, ground) => front.rgb.map((value, index) => value * front.alpha + ground[index] * (1 - front.alpha))
  const luminance = rgb => {
    const [r, g, b] = rgb.map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const groundOf = element => {
    const layers = []
    for (let each = element; each !== null; each = each.parentElement) layers.unshift(channels(getComputedStyle(each).backgroundColor))
    const page = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255]
    return layers.reduce((ground, layer) => over(layer, ground), page)
  }
  const faint = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement
    if (texts.currentNode.data.trim() === '' || !element.checkVisibility() || element.closest('svg, script, template, .unseen, .skip') !== null) continue
    const style = getComputedStyle(element)
    const ground = groundOf(element)
    const [low, high] = [luminance(ground), luminance(over(channels(style.color), ground))].sort((a, b) => a - b)
    const ratio = (high + 0.05) / (low + 0.05)
    const size = parseFloat(style.fontSize)
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (isLarge ? 3 : 4.5)) faint.push(texts.currentNode.data.trim().slice(0, 40) + ': ' + ratio.toFixed(2))
  }
  return faint
})()`
