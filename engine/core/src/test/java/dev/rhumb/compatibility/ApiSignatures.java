package dev.rhumb.compatibility;

import java.io.IOException;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassSignature;
import java.lang.classfile.FieldModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.MethodSignature;
import java.lang.classfile.Signature;
import java.lang.classfile.attribute.InnerClassInfo;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.reflect.AccessFlag;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What others can compile and link against: the public and protected classes of some packages and
 * their public and protected members, one line each, read from class files. A line begins with what
 * it is of, so that a sorted list shows a change as two lines beside each other.
 */
final class ApiSignatures {
  private static final String INHERITED = "java.lang.Object";

  /** What the kind of a class says already. */
  private static final Set<String> IMPLIED =
      Set.of(INHERITED, "java.lang.Record", "java.lang.Enum", "java.lang.annotation.Annotation");

  /** Every object has these, whether its class declares them or not. */
  private static final Set<String> OF_ALL =
      Set.of("equals(java.lang.Object)", "hashCode()", "toString()");

  private final Map<String, ClassModel> classes = new HashMap<>();
  private final SortedSet<String> lines = new TreeSet<>();

  private ApiSignatures() {}

  /**
   * The lines, sorted.
   *
   * @param place a folder of classes, or a jar
   * @param packages which of its packages
   */
  static SortedSet<String> of(Path place, Set<String> packages) throws IOException {
    if (Files.isDirectory(place)) {
      return ofFolder(place, packages);
    }
    try (FileSystem jar = FileSystems.newFileSystem(place)) {
      return ofFolder(jar.getPath("/"), packages);
    }
  }

  private static SortedSet<String> ofFolder(Path folder, Set<String> packages) throws IOException {
    ApiSignatures api = new ApiSignatures();
    for (String name : packages) {
      try (Stream<Path> files = Files.list(folder.resolve(name.replace('.', '/')))) {
        for (Path file : files.filter(f -> f.toString().endsWith(".class")).toList()) {
          ClassModel model = ClassFile.of().parse(Files.readAllBytes(file));
          api.classes.put(model.thisClass().asInternalName(), model);
        }
      }
    }
    api.classes.values().forEach(api::add);
    return api.lines;
  }

  private void add(ClassModel model) {
    Set<AccessFlag> flags = flags(model);
    if (!isSeen(model)) {
      return;
    }
    String name = name(model.thisClass().asInternalName());
    lines.add(name + " : " + kind(model, flags) + parents(model));
    boolean extensible =
        !flags.contains(AccessFlag.FINAL)
            && model.findAttribute(Attributes.permittedSubclasses()).isEmpty();
    for (FieldModel field : model.fields()) {
      if (isSeen(field.flags().flags(), extensible)) {
        lines.add(name + "." + field.fieldName().stringValue() + " : " + field(field));
      }
    }
    for (MethodModel method : model.methods()) {
      String signature = method(method, flags.contains(AccessFlag.INTERFACE));
      if (isSeen(method.flags().flags(), extensible)
          && OF_ALL.stream().noneMatch(signature::startsWith)) {
        lines.add(name + "." + signature);
      }
    }
  }

  private static boolean isSeen(Set<AccessFlag> flags, boolean extensible) {
    return !flags.contains(AccessFlag.SYNTHETIC)
        && (flags.contains(AccessFlag.PUBLIC)
            || extensible && flags.contains(AccessFlag.PROTECTED));
  }

  /** Whether a class can be named from outside: a nested one, if the classes around it can. */
  private boolean isSeen(ClassModel model) {
    Set<AccessFlag> flags = flags(model);
    if (flags.contains(AccessFlag.SYNTHETIC)
        || !flags.contains(AccessFlag.PUBLIC) && !flags.contains(AccessFlag.PROTECTED)) {
      return false;
    }
    InnerClassInfo inner = inner(model);
    if (inner == null) {
      return true;
    }
    return inner.innerName().isPresent()
        && inner
            .outerClass()
            .map(outer -> classes.get(outer.asInternalName()))
            .filter(this::isSeen)
            .isPresent();
  }

  /** A nested class has its true flags only in the list of nested classes. */
  private static Set<AccessFlag> flags(ClassModel model) {
    InnerClassInfo inner = inner(model);
    return inner == null ? model.flags().flags() : inner.flags();
  }

  private static InnerClassInfo inner(ClassModel model) {
    return model
        .findAttribute(Attributes.innerClasses())
        .flatMap(
            all ->
                all.classes().stream()
                    .filter(
                        one ->
                            one.innerClass()
                                .asInternalName()
                                .equals(model.thisClass().asInternalName()))
                    .findFirst())
        .orElse(null);
  }

  private static String kind(ClassModel model, Set<AccessFlag> flags) {
    List<String> words = new ArrayList<>();
    words.add(flags.contains(AccessFlag.PUBLIC) ? "public" : "protected");
    boolean isInterface = flags.contains(AccessFlag.INTERFACE);
    if (flags.contains(AccessFlag.STATIC) && !isInterface) {
      words.add("static");
    }
    if (flags.contains(AccessFlag.ABSTRACT) && !isInterface) {
      words.add("abstract");
    }
    boolean isEnum = flags.contains(AccessFlag.ENUM);
    if (flags.contains(AccessFlag.FINAL) && !isEnum) {
      words.add("final");
    }
    if (model.findAttribute(Attributes.permittedSubclasses()).isPresent() && !isEnum) {
      words.add("sealed");
    }
    words.add(
        flags.contains(AccessFlag.ANNOTATION)
            ? "@interface"
            : isInterface
                ? "interface"
                : isEnum
                    ? "enum"
                    : model.findAttribute(Attributes.record()).isPresent() ? "record" : "class");
    return String.join(" ", words);
  }

  private static String parents(ClassModel model) {
    ClassSignature signature =
        model
            .findAttribute(Attributes.signature())
            .map(attribute -> attribute.asClassSignature())
            .orElse(null);
    String type = signature == null ? "" : parameters(signature.typeParameters());
    String above =
        signature != null
            ? text(signature.superclassSignature())
            : model.superclass().map(entry -> name(entry.asInternalName())).orElse(INHERITED);
    List<String> interfaces =
        signature != null
            ? signature.superinterfaceSignatures().stream().map(ApiSignatures::text).toList()
            : model.interfaces().stream().map(entry -> name(entry.asInternalName())).toList();
    boolean isEnum = flags(model).contains(AccessFlag.ENUM);
    List<String> permitted =
        isEnum
            ? List.of()
            : model
                .findAttribute(Attributes.permittedSubclasses())
                .map(all -> all.permittedSubclasses().stream().map(ApiSignatures::name).toList())
                .orElse(List.of());
    return type
        + (isEnum || IMPLIED.contains(above) ? "" : " extends " + above)
        + (interfaces.isEmpty() ? "" : " implements " + String.join(", ", interfaces))
        + (permitted.isEmpty() ? "" : " permits " + String.join(", ", permitted));
  }

  private static String field(FieldModel field) {
    String type =
        field
            .findAttribute(Attributes.signature())
            .map(attribute -> text(attribute.asTypeSignature()))
            .orElseGet(() -> text(Signature.of(field.fieldTypeSymbol())));
    String value =
        field
            .findAttribute(Attributes.constantValue())
            .map(constant -> " = " + constant.constant().constantValue())
            .orElse("");
    return words(field.flags().flags()) + type + value.replace("\n", "\\n");
  }

  private static String method(MethodModel method, boolean inInterface) {
    MethodSignature signature =
        method
            .findAttribute(Attributes.signature())
            .map(attribute -> attribute.asMethodSignature())
            .orElseGet(() -> MethodSignature.of(method.methodTypeSymbol()));
    Set<AccessFlag> flags = method.flags().flags();
    String name = method.methodName().stringValue();
    boolean makes = name.equals("<init>");
    String instance =
        inInterface && !flags.contains(AccessFlag.STATIC) && !flags.contains(AccessFlag.ABSTRACT)
            ? "default "
            : "";
    String thrown =
        method
            .findAttribute(Attributes.exceptions())
            .map(
                all ->
                    all.exceptions().stream()
                        .map(ApiSignatures::name)
                        .collect(Collectors.joining(", ", " throws ", "")))
            .orElse("");
    return (makes ? "new" : name)
        + signature.arguments().stream()
            .map(ApiSignatures::text)
            .collect(Collectors.joining(", ", "(", ")"))
        + " : "
        + (words(flags)
                + instance
                + parameters(signature.typeParameters())
                + (signature.typeParameters().isEmpty() ? "" : " ")
                + (makes ? "" : text(signature.result())))
            .strip()
        + thrown;
  }

  private static String words(Set<AccessFlag> flags) {
    StringBuilder words = new StringBuilder();
    for (AccessFlag flag :
        new AccessFlag[] {
          AccessFlag.PUBLIC,
          AccessFlag.PROTECTED,
          AccessFlag.ABSTRACT,
          AccessFlag.STATIC,
          AccessFlag.FINAL
        }) {
      if (flags.contains(flag)) {
        words.append(flag.name().toLowerCase(java.util.Locale.ROOT)).append(' ');
      }
    }
    return words.toString();
  }

  private static String parameters(List<Signature.TypeParam> parameters) {
    if (parameters.isEmpty()) {
      return "";
    }
    return parameters.stream()
        .map(
            parameter -> {
              List<String> bounds = new ArrayList<>();
              parameter.classBound().ifPresent(bound -> bounds.add(text(bound)));
              parameter.interfaceBounds().forEach(bound -> bounds.add(text(bound)));
              bounds.remove(INHERITED);
              return parameter.identifier()
                  + (bounds.isEmpty() ? "" : " extends " + String.join(" & ", bounds));
            })
        .collect(Collectors.joining(", ", "<", ">"));
  }

  private static String text(Signature signature) {
    return switch (signature) {
      case Signature.BaseTypeSig base ->
          switch (base.baseType()) {
            case 'B' -> "byte";
            case 'C' -> "char";
            case 'D' -> "double";
            case 'F' -> "float";
            case 'I' -> "int";
            case 'J' -> "long";
            case 'S' -> "short";
            case 'Z' -> "boolean";
            default -> "void";
          };
      case Signature.ArrayTypeSig array -> text(array.componentSignature()) + "[]";
      case Signature.TypeVarSig variable -> variable.identifier();
      case Signature.ClassTypeSig type ->
          type.outerType().map(outer -> text(outer) + ".").orElse("")
              + name(type.className())
              + (type.typeArgs().isEmpty()
                  ? ""
                  : type.typeArgs().stream()
                      .map(ApiSignatures::text)
                      .collect(Collectors.joining(", ", "<", ">")));
    };
  }

  private static String text(Signature.TypeArg argument) {
    return switch (argument) {
      case Signature.TypeArg.Unbounded any -> "?";
      case Signature.TypeArg.Bounded bounded ->
          switch (bounded.wildcardIndicator()) {
                case NONE -> "";
                case EXTENDS -> "? extends ";
                case SUPER -> "? super ";
              }
              + text(bounded.boundType());
    };
  }

  private static String name(ClassEntry entry) {
    return name(entry.asInternalName());
  }

  private static String name(String internal) {
    return internal.replace('/', '.').replace('$', '.');
  }
}
