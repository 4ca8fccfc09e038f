// What every page may have: code to copy, tables to sort.

for (const button of document.querySelectorAll("[data-copy]")) {
  const code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const selected = getSelection();
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Without https there is no clipboard; what is selected can still be copied by hand.
      selected.selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

for (const table of document.querySelectorAll("[data-sortable]")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, place) => {
    heading.querySelector("a").addEventListener("click", (event) => {
      event.preventDefault();
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table.tBodies[0], place, down);
    });
  });
}

function sort(body, place, down) {
  const value = (row) => {
    const cell = row.cells[place];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const known = (row) => row.cells[place].textContent !== "-";
  const compare = (a, b) => {
    // What has no value comes last, whichever way.
    if (known(a) !== known(b)) return known(a) ? -1 : 1;
    const [x, y] = [value(a), value(b)];
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return down ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}
