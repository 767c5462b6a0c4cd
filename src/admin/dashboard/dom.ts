/**
 * Elements without HTML text: whatever nodes and clients say reaches the page as text nodes and attribute values. What
 * is on the page already is changed in place, so that the focus, a selection and a screen reader stay where they are.
 */
export type Attributes = Readonly<Record<string, string>>;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Node[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An element that index.html has. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Undefined removes the attribute. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** A part of the page that shows one value after another. */
export type Part<T> = { readonly element: HTMLElement; update(value: T): void };

/**
 * Shows a list in `parent`: one part an item, kept as long as its key is in the list. `steady` leaves the order of what
 * is there already as it is.
 */
export function list<T>(
  parent: Element,
  keyOf: (item: T) => string,
  make: (item: T) => Part<T>,
): (items: readonly T[], steady?: boolean) => void {
  const parts = new Map<string, Part<T>>();
  return (items, steady = false) => {
    const wanted = new Map(items.map((item) => [keyOf(item), item]));
    for (const [key, { element }] of parts) {
      if (wanted.has(key)) continue;
      element.remove();
      parts.delete(key);
    }
    let before: Element | null = null;
    for (const [key, item] of [...wanted].toReversed()) {
      const known = parts.get(key);
      const part = known ?? make(item);
      parts.set(key, part);
      part.update(item);
      // An element that moves loses the focus.
      const stays = known && (steady || part.element.nextElementSibling === before);
      if (!stays) parent.insertBefore(part.element, before);
      before = part.element;
    }
  };
}
