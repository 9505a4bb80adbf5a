// What the page shows of each cell of the notebook; sizes are those of what is on the screen now.
() => [...document.querySelectorAll(".jp-Notebook .jp-Cell")].map((cell) => {
  const outputs = [...cell.querySelectorAll(".jp-OutputArea-child > :not(.jp-OutputPrompt)")];
  const red = outputs.filter((output) => output.dataset.mimeType === "application/vnd.jupyter.stderr");
  const pictures = outputs.flatMap((output) => [...output.querySelectorAll("img, canvas, svg")]);
  const faults = [];
  if (cell.querySelector(".jp-TrimmedOutputs")) faults.push("outputs stay hidden until a button is pressed");
  for (const picture of pictures)
    if (picture.tagName === "IMG" && picture.complete && picture.naturalWidth === 0) faults.push("a picture is broken");
  const box = cell.getBoundingClientRect();
  const seen = box.bottom > 0 && box.top < window.innerHeight;
  for (const output of seen ? outputs : []) {
    const over = output.scrollWidth - output.clientWidth;
    if (output.clientWidth > 0 && over > 2) faults.push(`an output is ${over} pixels wider than its place`);
    if (/^(Loading widget|Error displaying widget)/.test(output.innerText.trim()))
      faults.push(`a widget is not there: ${output.innerText.trim().slice(0, 200)}`);
  }
  return {
    prompt: cell.querySelector(".jp-InputPrompt")?.textContent ?? "",
    text: outputs.map((output) => output.innerText).join("\n"),
    figures: pictures.length,
    red: red.map((output) => output.innerText.trim().slice(-1500)),
    faults,
  };
})
