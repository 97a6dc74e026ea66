/** Find an element that the page must have. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element with id ${id}`);
  return element;
}

/** Make an element with a class and a text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Show a value as text, and keep it bare in `data-value` for whoever reads the page by program. */
export function show(element, text, value) {
  if (element.textContent !== text) element.textContent = text;
  element.dataset.value = String(value ?? "");
}

/** Put an item first in a list that never grows beyond a limit. */
export function prepend(list, item, limit) {
  list.prepend(item);
  while (list.children.length > limit) list.lastElementChild.remove();
}

/** Take a list's end into view when it was in view before `change`, so that reading back is not disturbed. */
export function keepEndInView(list, change) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  change();
  if (atEnd) list.scrollTop = list.scrollHeight;
}
