/** Every portable test file, in one import; the bundler makes it. */
declare module 'suite:tests' {}
