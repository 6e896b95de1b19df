// Groups of buttons that are one stop for the Tab key.

const steps = { ArrowRight: 1, ArrowLeft: -1 };

// rove leads from button to button of a group with the arrow keys, Home and End.
export function rove(group) {
  const buttons = () => [...group.querySelectorAll('button')];
  const turn = (to) => {
    for (const button of buttons()) {
      button.tabIndex = button === to ? 0 : -1;
    }
  };
  turn(buttons()[0]);
  group.addEventListener('focusin', (event) => turn(event.target));
  group.addEventListener('keydown', (event) => {
    const all = buttons();
    const at = all.indexOf(event.target);
    const to = { Home: 0, End: all.length - 1 }[event.key] ?? (steps[event.key] && at + steps[event.key]);
    if (at >= 0 && to !== undefined) {
      event.preventDefault();
      all.at(to % all.length).focus();
    }
  });
}
