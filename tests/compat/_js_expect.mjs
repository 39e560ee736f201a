// SPDX-License-Identifier: Apache-2.0
// What both tours of the JavaScript clients share: comparing, refusals, and the versions that a client dislikes.
import assert from 'node:assert/strict';

export const UUID = '5c56c793-69f3-4fbf-87e6-c4bf54c28c26';

// Clients warn on the console when they dislike the server's version.
const warnings = [];
console.warn = (...words) => warnings.push(words.join(' '));

export function expect(what, got, wanted) {
    assert.deepStrictEqual(got, wanted, what);
}

export function near(what, got, wanted) {
    expect(`${what}: length`, got.length, wanted.length);
    got.forEach((x, i) => assert.ok(Math.abs(x - wanted[i]) < 1e-6, `${what}: wanted ${wanted}, got ${got}`));
}

// The error of a call that is to fail, handed to look.
export async function refused(what, call, look) {
    let answer;
    try {
        answer = await call();
    } catch (error) {
        look(error);
        return;
    }
    assert.fail(`${what}: is to be refused, but answers ${answer}`);
}

export async function run(steps) {
    for (const step of steps) {
        await step();
        console.log(`${step.name}: as expected`);
    }
    expect('warnings', warnings, []);
}
