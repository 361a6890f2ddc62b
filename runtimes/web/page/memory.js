/** Which proofs passed in this browser, kept from visit to visit. */

const MEMORY = "ifrnet-proved";
const MOST = 20;

/** @returns {string[]} */
export function proved() {
  try {
    return JSON.parse(localStorage.getItem(MEMORY) ?? "[]");
  } catch {
    return [];
  }
}

/** @param {string} conditions @param {boolean} passed */
export function remember(conditions, passed) {
  const others = proved().filter((known) => known !== conditions);
  try {
    localStorage.setItem(MEMORY, JSON.stringify(passed ? [...others, conditions].slice(-MOST) : others));
  } catch {
    // private windows keep nothing: it is proved again next time
  }
}
