/** Find an element that the page must have. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element with id ${id}`);
  return element;
}

/** Make an element with a class, and texts or elements in it. */
export function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** Give an element a text, if it has another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show a value as text, and keep it bare in `data-value` for whoever reads the page by program. */
export function show(element, text, value) {
  say(element, text);
  element.dataset.value = String(value ?? "");
}

/** Make the entries of a list of facts: pairs of a name and a text or an element. */
export function facts(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value]) => make("div", "", make("dt", "", name), make("dd", "", value))));
}

/** Tell for some seconds what has come of an action. */
export function toast(text) {
  const item = make("p", "toast", text);
  byId("toasts").append(item);
  setTimeout(() => item.remove(), 6000);
}
