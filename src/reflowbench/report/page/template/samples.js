// Samples: one sheet per method, at the round and the solver that the reader chooses.
const shownSheets = [...document.querySelectorAll(".sheet")];

function showSamples() {
  const round = data.rounds[Number(byId("round").value)];
  const solver = byId("sampler").value;
  const label = data.samples.solvers[solver];
  const nfe = solver.includes("_") ? Number(solver.split("_").at(-1)) : -1;
  byId("round-shown").textContent = String(round);
  byId("round").setAttribute("aria-valuetext", `round ${round}`);
  for (const sheet of shownSheets) {
    const method = sheet.dataset.method;
    const source = data.samples.images[`${round ? method : "base"}/${round}/${solver}`];
    const image = sheet.querySelector("img");
    const said = `Samples of ${method} after round ${round}, ${label}`;
    image.alt = source ? said : `${said}: missing`;
    if (source) image.src = source;
    else image.removeAttribute("src");
    sheet.querySelector("figcaption").textContent = `FD ${data.fd[`${method}/${round}/${nfe}`] ?? "missing"}`;
  }
}
byId("round").addEventListener("input", showSamples);
byId("sampler").addEventListener("change", showSamples);
showSamples();
