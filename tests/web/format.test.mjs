import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    bandWord, formatAge, formatDelta, formatDuration, formatExact, formatMoment, formatTime, formatValue, roundDecimal, splitDecimal,
} from '../../web/client/format.js';

const usd = { unit: 'money', currency: 'USD', compact: true };
const plain = (text) => text.replaceAll('\u202f', ' ').replaceAll('\u2212', '-');

test('money is shortened to three digits and a letter', () => {
    const cases = {
        '0.00': '$0.00', '7.5': '$7.50', '999.99': '$999.99', '1284.50': '$1,285', '9999.00': '$9,999', '12345.00': '$12.3K',
        '999499.00': '$999K', '999500.00': '$1.00M', '1284300.50': '$1.28M', '12843005.00': '$12.8M', '128430050.00': '$128M',
        '1285000.00': '$1.29M', '-1284300.50': '-$1.28M', '2500000000.00': '$2.50B', '1000000000000.00': '$1.00T', '999999999.99': '$1.00B',
    };
    for (const [value, text] of Object.entries(cases)) {
        assert.equal(plain(formatValue(value, usd)), text, value);
    }
});

test('money keeps every digit that was sent', () => {
    assert.equal(formatExact('9999999999999.99', usd), '$9,999,999,999,999.99');
    assert.equal(formatExact('0.10', usd), '$0.10');
    assert.equal(formatExact('1234567.8', { ...usd, currency: 'EUR' }), '\u20ac1,234,567.80');
    assert.equal(plain(formatExact('-0.07', usd)), '-$0.07');
});

test('decimals are rounded half away from zero, by digits', () => {
    assert.deepEqual(roundDecimal(splitDecimal('1.005'), 2), { isNegative: false, whole: '1', fraction: '01' });
    assert.deepEqual(roundDecimal(splitDecimal('-0.004'), 2), { isNegative: false, whole: '0', fraction: '00' });
    assert.deepEqual(roundDecimal(splitDecimal('99.995'), 2), { isNegative: false, whole: '100', fraction: '00' });
    assert.equal(splitDecimal('12e3'), null);
});

test('each unit has its own form', () => {
    const cases = [
        [0.734, { unit: 'percent', precision: 1 }, '73.4%'], [0.9995, { unit: 'percent', precision: 2 }, '99.95%'], [1, { unit: 'percent' }, '100.0%'],
        [0.29, { unit: 'percent', precision: 0 }, '29%'], [82, { unit: 'score' }, '82'], [1204, { unit: 'integer' }, '1,204'],
        [-0.12, { unit: 'number', precision: 2 }, '-0.12'], [87.1, { unit: 'ms' }, '87.1 ms'], [1204.6, { unit: 'ms' }, '1,205 ms'], [0.42, { unit: 'ms' }, '0.42 ms'],
        [7265, { unit: 's' }, '2 h 1 min'], [41234432, { unit: 'bytes' }, '39.3 MiB'], [512, { unit: 'bytes' }, '512 B'],
        [22.4, { unit: 'per_second' }, '22.4 /s'], [0, { unit: 'per_minute' }, '0 /min'], [29, { unit: 'days' }, '29 d'],
        ['0.1.0', { unit: 'text' }, '0.1.0'], [0.0000001, { unit: 'number', precision: 2 }, '0.00'], [9007199254740991, { unit: 'integer' }, '9,007,199,254,740,991'],
    ];
    for (const [value, kpi, text] of cases) {
        assert.equal(plain(formatValue(value, kpi)), text, `${value} ${kpi.unit}`);
    }
});

test('a missing number is a dash, never 0', () => {
    assert.equal(formatValue(undefined, usd), '\u2014');
    assert.equal(formatValue(null, { unit: 'integer' }), '\u2014');
});

test('a change has sign, arrow, words and a verdict', () => {
    const told = (value, base, kpi) => {
        const delta = formatDelta(value, base, kpi);
        return delta && [delta.direction, plain(delta.text), delta.verdict];
    };
    assert.deepEqual(told('105.00', '100.00', { ...usd, good: 'up' }), ['up', '+5.0%', 'good']);
    assert.deepEqual(told('95.00', '100.00', { ...usd, good: 'up' }), ['down', '-5.0%', 'bad']);
    assert.deepEqual(told(0.734, 0.761, { unit: 'percent', good: 'up' }), ['down', '-2.7 pts', 'bad']);
    assert.deepEqual(told(6, 4, { unit: 'integer', good: 'down' }), ['up', '+2', 'bad']);
    assert.deepEqual(told(6, 4, { unit: 'integer', good: 'none' }), ['up', '+2', 'neutral']);
    assert.deepEqual(told(77, 77, { unit: 'score', good: 'up' }), ['flat', 'no change', 'neutral']);
    assert.deepEqual(told('100.001', '100.00', { ...usd, good: 'up' }), ['flat', 'no change', 'neutral']);
    assert.deepEqual(told('50.00', '0.00', { ...usd, good: 'up' }), ['up', '+$50.00', 'good']);
    assert.equal(told(undefined, 4, { unit: 'integer' }), null);
    assert.equal(told(4, undefined, { unit: 'integer' }), null);
});

test('a band word is the first whose limit is passed, and the last takes the rest', () => {
    const bands = [{ above: 0.5, word: 'very positive' }, { above: 0.2, word: 'positive' }, { above: -0.2, word: 'neutral' }, { word: 'negative' }];
    assert.deepEqual([0.51, 0.5, 0.2, -0.2, -3].map((value) => bandWord(value, bands)), ['very positive', 'positive', 'neutral', 'negative', 'negative']);
    assert.equal(bandWord(1, undefined), '');
});

test('durations use the two largest units', () => {
    const cases = { 0: '0 s', 0.5: '0.5 s', 59: '59 s', 60: '1 min', 61: '1 min 1 s', 3600: '1 h', 7265: '2 h 1 min', 90000: '1 d 1 h', 172800: '2 d' };
    for (const [seconds, text] of Object.entries(cases)) {
        assert.equal(plain(formatDuration(Number(seconds))), text, seconds);
    }
});

test('ages are relative below a day and absolute from then on', () => {
    const now = 1795255391000;
    const aged = (seconds) => plain(formatAge(now - seconds * 1000, now));
    assert.deepEqual([0, 2, 3, 59, 60, 3599, 3600, 86399].map(aged),
        ['just now', 'just now', '3 s ago', '59 s ago', '1 min ago', '59 min ago', '1 h ago', '23 h ago']);
    assert.equal(aged(86400), formatMoment(now - 86400000));
    assert.equal(aged(-30), 'just now');
});

test('days, texts and instants become times', () => {
    assert.equal(formatTime('2026-12-03', 0), '3 Dec 2026');
    assert.equal(formatTime('not a time', 0), 'not a time');
    assert.equal(plain(formatTime(1000, 61000)), '1 min ago');
});
