// API 3.0: named exports, a module of its own beside it.
import { eased } from './lib/ease.mjs';

export function animate(root, { distance = 60 }) {
  root.style.display = 'inline-block';
  return (progress) => {
    root.style.transform = `translateX(${(distance * (1 - eased(progress))).toFixed(2)}px)`;
    root.style.opacity = String(eased(progress));
  };
}
